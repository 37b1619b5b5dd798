//! The memory that images may take: one budget for all decoding threads of the process.

use std::str::FromStr;
use std::sync::OnceLock;

use bytesize::ByteSize;
use image_classification::ImageMemory;
use sysinfo::System;

/// The part of the machine's memory that images may take without `--image-memory`.
const SHARE: u64 = 4;
/// A system that says nothing about its memory is taken for a small one.
const UNKNOWN: u64 = 2 << 30;

static OF_PROCESS: OnceLock<ImageMemory> = OnceLock::new();

/// Sets the memory of this process, before the first image is read.
pub fn set(size: Option<MemorySize>, jobs: usize) {
    let bytes = size.map_or_else(default_bytes, |size| size.0);
    // A second command in one process does not exist; a test may set it twice.
    let _ = OF_PROCESS.set(ImageMemory::new(bytes, jobs));
}

/// Returns the memory of this process.
pub fn of_process() -> &'static ImageMemory {
    OF_PROCESS.get_or_init(|| ImageMemory::new(default_bytes(), 1))
}

/// Returns the `--image-memory` with which an image that needs `bytes` is decoded.
pub fn size_for(bytes: u64) -> String {
    format!("{}M", ImageMemory::bytes_for(bytes).div_ceil(1 << 20))
}

/// A quarter of the memory that this process may use: the machine's, the control group's, or the limit on the
/// address space, whichever is least.
fn default_bytes() -> u64 {
    let mut system = System::new();
    system.refresh_memory();
    let machine = Some(system.total_memory()).filter(|bytes| *bytes > 0);
    let group = system.cgroup_limits().map(|limits| limits.total_memory);
    let limits = [machine, group.filter(|bytes| *bytes > 0), address_space()];
    limits.into_iter().flatten().min().unwrap_or(UNKNOWN) / SHARE
}

#[cfg(unix)]
fn address_space() -> Option<u64> {
    use rustix::process::{Resource, getrlimit};
    getrlimit(Resource::As).current
}

#[cfg(not(unix))]
fn address_space() -> Option<u64> {
    None
}

/// A number of bytes as it is written: `512M`, `2GiB`. Letters count in powers of 1024, as `ulimit` and `docker` do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemorySize(u64);

impl FromStr for MemorySize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected =
            || format!("expected a size of at least 1M such as 512M or 2G, not `{text}`");
        let unit = text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
        let binary = match unit.trim().to_ascii_lowercase().as_str() {
            "k" | "m" | "g" | "t" => format!("{}iB", text.trim()),
            _ => text.to_owned(),
        };
        let size: ByteSize = binary.parse().map_err(|_| expected())?;
        Some(Self(size.as_u64()))
            .filter(|size| size.0 >= 1 << 20)
            .ok_or_else(expected)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read() {
        let read = |text: &str| text.parse::<MemorySize>().map(|size| size.0);
        assert_eq!(read("512M"), Ok(512 << 20));
        assert_eq!(read("512MiB"), Ok(512 << 20));
        assert_eq!(read("1.5g"), Ok(3 << 29));
        assert_eq!(read("2GB"), Ok(2_000_000_000));
        assert_eq!(read("1073741824"), Ok(1 << 30));
        for wrong in ["", "G", "-1G", "0", "5", "1K", "2 apples", "1G1"] {
            let error = read(wrong).unwrap_err();
            assert!(error.contains("512M") && error.contains(wrong), "{error}");
        }
    }

    #[test]
    fn the_size_for_an_image_suffices() {
        for needed in [1, 7 << 20, (7 << 20) + 1, 5_368_709_120, 123_456_789] {
            let size: MemorySize = size_for(needed).parse().unwrap();
            assert!(
                ImageMemory::new(size.0, 1).budget.bytes() >= needed,
                "{needed}"
            );
        }
    }

    #[test]
    fn the_default_is_a_part_of_the_machine() {
        let bytes = default_bytes();
        assert!((1 << 20..1 << 45).contains(&bytes), "{bytes}");
    }
}
