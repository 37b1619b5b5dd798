//! The memory that images may take: one budget for all decoding threads of the process.

use std::sync::OnceLock;

use image_classification::{ImageMemory, MemoryBudget};
use sysinfo::System;

/// The part of the machine's memory that images may take without `--image-memory`.
const SHARE: u64 = 4;
/// A system that says nothing about its memory is taken for a small one.
const UNKNOWN: u64 = 2 << 30;

static OF_PROCESS: OnceLock<ImageMemory> = OnceLock::new();

/// Sets the memory of this process, before the first image is read.
pub fn set(bytes: Option<u64>, jobs: usize) {
    let bytes = bytes.unwrap_or_else(default_bytes);
    // A second command in one process does not exist; a test may set it twice.
    let _ = OF_PROCESS.set(ImageMemory::new(bytes, jobs));
}

/// Sets the budget of the process of an engine, which decodes no images, to that of the process that started it.
pub fn set_budget(bytes: u64) {
    let budget = MemoryBudget::new(bytes);
    let _ = OF_PROCESS.set(ImageMemory { budget, kept: 0 });
}

/// Returns the memory of this process.
pub fn of_process() -> &'static ImageMemory {
    OF_PROCESS.get_or_init(|| ImageMemory::new(default_bytes(), 1))
}

/// Returns the `--image-memory` with which an image that needs `bytes` is decoded.
pub fn size_for(bytes: u64) -> String {
    format!("{}M", ImageMemory::bytes_for(bytes).div_ceil(1 << 20))
}

/// Returns a quarter of the memory that this process may use: the machine's, the control group's, or the limit on the
/// address space, whichever is least.
fn default_bytes() -> u64 {
    let mut system = System::new();
    system.refresh_memory();
    let machine = Some(system.total_memory()).filter(|bytes| *bytes > 0);
    // `sysinfo` panics on a machine that says nothing about its memory, as when no file can be opened.
    let group = machine.and_then(|_| system.cgroup_limits());
    let group = group.map(|limits| limits.total_memory);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::MemorySize;

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
