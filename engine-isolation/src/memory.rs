//! Memory that two processes have.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use rustix::fs::{FallocateFlags, MemfdFlags, SealFlags, fallocate, fcntl_add_seals, memfd_create};
use vm_memory::{FileOffset, MmapRegion, VolatileMemory as _, VolatileSlice};

/// The bytes that stay mapped and in use between two requests: one huge request must not hold its memory for all that
/// follow.
const MOST_KEPT: usize = 64 << 20;

/// A memory file. Its beginning is mapped, as far as it is used: a copy takes less time than a write to the file.
///
/// The other process may change the memory at any time, so that there are no references to it: bytes are copied in and
/// out. Its size is sealed, so that no access is outside the file.
#[derive(Debug)]
pub struct SharedMemory {
    file: Arc<File>,
    bytes: usize,
    mapped: Option<MmapRegion>,
}

impl SharedMemory {
    /// Makes a file of `bytes`. Pages take memory when they are first written.
    pub fn new(bytes: u64) -> io::Result<Self> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let file = File::from(memfd_create("engine-isolation", flags)?);
        file.set_len(bytes)?;
        let seals = SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
        fcntl_add_seals(&file, seals)?;
        file.try_into()
    }

    /// The size of the file.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Copies `from` into the memory at `place`.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::StorageFull`] if the file ends before, and the system's error if it has no addresses for so much.
    pub fn write(&mut self, place: usize, from: &[u8]) -> io::Result<()> {
        self.slice(place, from.len())?.copy_from(from);
        Ok(())
    }

    /// Fills `to` from the memory at `place`.
    ///
    /// # Errors
    ///
    /// The errors of [`write`](Self::write).
    pub fn read(&mut self, place: usize, to: &mut [u8]) -> io::Result<()> {
        self.slice(place, to.len())?.copy_to(to);
        Ok(())
    }

    /// Returns `count` bytes at `place`, which it maps if they are not.
    fn slice(&mut self, place: usize, count: usize) -> io::Result<VolatileSlice<'_>> {
        let end = place.checked_add(count).filter(|end| *end <= self.bytes);
        let end = end.ok_or(io::ErrorKind::StorageFull)?;
        let mapped = self.mapped.take().filter(|mapped| mapped.size() >= end);
        let mapped = match mapped {
            Some(mapped) => mapped,
            None => self.map(end)?,
        };
        let mapped = self.mapped.insert(mapped);
        mapped.get_slice(place, count).map_err(io::Error::other)
    }

    /// Maps at least the first `end` bytes.
    fn map(&self, end: usize) -> io::Result<MmapRegion> {
        // A power of two, so that requests that grow are seldom mapped anew.
        let size = end.max(1).next_power_of_two().min(self.bytes.max(1));
        let file = FileOffset::from_arc(Arc::clone(&self.file), 0);
        MmapRegion::from_file(file, size).map_err(io::Error::other)
    }

    /// Gives back what a huge request took. The owner also frees the pages, which the other process reads as zeros then.
    pub fn shrink(&mut self, is_owner: bool) {
        let is_huge = |mapped: &mut MmapRegion| mapped.size() > MOST_KEPT;
        if self.mapped.take_if(is_huge).is_some() && is_owner {
            let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            // If it fails, the pages stay allocated.
            let _ = fallocate(&self.file, flags, 0, self.bytes as u64);
        }
    }
}

impl TryFrom<File> for SharedMemory {
    type Error = io::Error;

    fn try_from(file: File) -> io::Result<Self> {
        let bytes = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
        Ok(Self {
            file: Arc::new(file),
            bytes,
            mapped: None,
        })
    }
}

impl AsFd for SharedMemory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_have_the_same_bytes() {
        let mut ours = SharedMemory::new(10_000).unwrap();
        let mut theirs = SharedMemory::try_from(ours.file.try_clone().unwrap()).unwrap();
        for (place, bytes) in [
            (0, &[1_u8, 2, 3][..]),
            (9_997, &[7, 8, 9]),
            (4_095, &[5; 3]),
        ] {
            ours.write(place, bytes).unwrap();
            let mut seen = vec![0; bytes.len()];
            theirs.read(place, &mut seen).unwrap();
            assert_eq!(seen, bytes);
        }
        theirs.write(20, &[4]).unwrap();
        let mut seen = [0];
        ours.read(20, &mut seen).unwrap();
        assert_eq!(seen, [4]);
        ours.write(10_000, &[]).unwrap();
    }

    #[test]
    fn nothing_is_outside_the_file() {
        let mut memory = SharedMemory::new(100).unwrap();
        for place in [100, usize::MAX] {
            let error = memory.write(place, &[1]).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::StorageFull);
            memory.read(place, &mut [1]).unwrap_err();
        }
        memory.file.set_len(50).unwrap_err();
        memory.file.set_len(200).unwrap_err();
    }

    #[test]
    fn a_huge_request_does_not_keep_its_memory() {
        let blocks = |memory: &SharedMemory| {
            use std::os::unix::fs::MetadataExt as _;
            memory.file.metadata().unwrap().blocks()
        };
        let mut memory = SharedMemory::new(256 << 20).unwrap();
        memory.write(0, &[1; 100]).unwrap();
        memory.shrink(true);
        assert!(blocks(&memory) > 0);
        memory.write(MOST_KEPT, &[1; 100]).unwrap();
        memory.shrink(true);
        assert_eq!(blocks(&memory), 0);
        let mut seen = [9];
        memory.read(0, &mut seen).unwrap();
        assert_eq!(seen, [0]);
    }
}
