//! One memory budget for all threads that decode images.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Bytes that all decoding threads together may take.
///
/// Clones share one budget. A thread reserves the upper bound of an image's memory before it reads the image, waits
/// while
/// others hold too much, and returns the bytes by dropping the [`Reservation`].
///
/// Reservations are granted in the order of the calls, so that small images never starve a large one. A thread must
/// not call [`reserve`](Self::reserve) while it holds a reservation of the same budget: two such threads could wait
/// for each other. No reservation waits forever: one that fits alone is granted at the latest when all others are done.
#[derive(Debug, Clone)]
pub struct MemoryBudget {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    bytes: u64,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    reserved: u64,
    /// The ticket of the next caller.
    next: u64,
    /// The ticket that is served next.
    turn: u64,
}

/// A need that exceeds the whole [`MemoryBudget`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{needed} bytes of memory are needed, but the budget has {budget}")]
pub struct OverBudget {
    /// The requested bytes.
    pub needed: u64,
    /// Bytes of the whole budget.
    pub budget: u64,
}

impl MemoryBudget {
    /// Returns a budget of `bytes`.
    pub fn new(bytes: u64) -> Self {
        Self {
            shared: Arc::new(Shared {
                bytes,
                state: Mutex::default(),
                changed: Condvar::new(),
            }),
        }
    }

    /// Bytes of the whole budget.
    pub fn bytes(&self) -> u64 {
        self.shared.bytes
    }

    /// Bytes that are reserved now.
    pub fn reserved(&self) -> u64 {
        self.shared.lock().reserved
    }

    /// Reserves `bytes`. Blocks the thread until it is its turn and so much is free.
    ///
    /// # Errors
    ///
    /// [`OverBudget`], at once, if the whole budget has less than `bytes`.
    pub fn reserve(&self, bytes: u64) -> Result<Reservation, OverBudget> {
        let shared = &self.shared;
        if bytes > shared.bytes {
            return Err(OverBudget {
                needed: bytes,
                budget: shared.bytes,
            });
        }
        let mut state = shared.lock();
        let ticket = state.next;
        state.next += 1;
        while state.turn != ticket || bytes > shared.bytes - state.reserved {
            state = shared
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        state.turn += 1;
        state.reserved += bytes;
        drop(state);
        // The next in turn may fit too.
        shared.changed.notify_all();
        Ok(Reservation {
            shared: Arc::clone(shared),
            bytes,
        })
    }
}

impl Shared {
    /// Locks the counts. No code panics while it holds the lock, and the counts are consistent at every point.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bytes of a [`MemoryBudget`], returned when this is dropped.
#[derive(Debug)]
#[must_use = "the bytes are returned when this is dropped"]
pub struct Reservation {
    shared: Arc<Shared>,
    bytes: u64,
}

impl Reservation {
    /// Bytes that are reserved.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.shared.lock().reserved -= self.bytes;
        self.shared.changed.notify_all();
    }
}

/// The memory of images: the budget of all decoding threads, and the buffers that a thread keeps between two images.
///
/// Clones share the budget.
#[derive(Debug, Clone)]
pub struct ImageMemory {
    /// The budget of images from the reading of the file to the tensor.
    pub budget: MemoryBudget,
    /// The most bytes of a buffer that is kept for the next image: one huge image must not hold its memory for all
    /// that follow.
    pub kept: u64,
}

impl ImageMemory {
    /// The part of the memory that is kept for the next images.
    const KEPT_SHARE: u64 = 8;
    const MOST_KEPT: u64 = 64 << 20;

    /// Divides `bytes` among the images in flight and the buffers that `jobs` threads keep.
    pub fn new(bytes: u64, jobs: usize) -> Self {
        let kept = bytes / Self::KEPT_SHARE;
        Self {
            budget: MemoryBudget::new(bytes - kept),
            // A thread keeps a file and an image.
            kept: (kept / (2 * jobs.max(1)) as u64).min(Self::MOST_KEPT),
        }
    }

    /// Returns the bytes with which [`new`](Self::new) makes a budget of at least `needed` bytes.
    pub fn bytes_for(needed: u64) -> u64 {
        // Rounded up twice: the share is rounded down.
        needed
            .saturating_add(1)
            .saturating_mul(Self::KEPT_SHARE)
            .div_ceil(Self::KEPT_SHARE - 1)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::mpsc;
    use std::thread;
    use std::time::{Duration, Instant};

    use super::*;

    /// Waits until `count` callers have a ticket.
    fn until_asked(budget: &MemoryBudget, count: u64) {
        let start = Instant::now();
        while budget.shared.lock().next < count {
            assert!(start.elapsed() < Duration::from_secs(20), "nobody asked");
            thread::yield_now();
        }
    }

    #[test]
    fn more_than_the_whole_budget_is_an_error_at_once() {
        let budget = MemoryBudget::new(100);
        let held = budget.reserve(100).unwrap();
        let error = budget.reserve(101).unwrap_err();
        assert_eq!((error.needed, error.budget), (101, 100));
        assert_eq!((held.bytes(), budget.reserved()), (100, 100));
        drop(held);
        assert_eq!(budget.reserved(), 0);
        // The refused call left no ticket behind.
        assert_eq!(budget.reserve(100).unwrap().bytes(), 100);
    }

    #[test]
    fn a_panic_returns_the_bytes() {
        let budget = MemoryBudget::new(10);
        let other = budget.clone();
        let ended = thread::spawn(move || {
            let _held = other.reserve(10).unwrap();
            panic!("planned");
        });
        assert!(ended.join().is_err());
        assert_eq!(budget.reserve(10).unwrap().bytes(), 10);
    }

    #[test]
    fn callers_wait_and_are_served_in_their_order() {
        let budget = MemoryBudget::new(10);
        let held = budget.reserve(4).unwrap();
        let (sender, receiver) = mpsc::channel();
        let mut threads = Vec::new();
        // No two of them fit at a time, and the second would fit now.
        let needs = [8, 6, 9, 5];
        for (place, bytes) in needs.into_iter().enumerate() {
            let (budget, sender) = (budget.clone(), sender.clone());
            let asking = budget.clone();
            threads.push(thread::spawn(move || {
                let reservation = asking.reserve(bytes).unwrap();
                sender.send(bytes).unwrap();
                drop(reservation);
            }));
            until_asked(&budget, place as u64 + 2);
        }
        let early = receiver.recv_timeout(Duration::from_millis(50));
        assert!(early.is_err(), "{early:?}");
        assert_eq!(budget.reserved(), 4);
        drop(held);
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(receiver.try_iter().collect::<Vec<_>>(), needs);
        assert_eq!(budget.reserved(), 0);
    }

    #[test]
    fn a_large_need_is_not_starved_by_small_ones() {
        let budget = MemoryBudget::new(10);
        let small = budget.reserve(1).unwrap();
        let large = thread::spawn({
            let budget = budget.clone();
            move || budget.reserve(10).unwrap().bytes()
        });
        until_asked(&budget, 2);
        let late = thread::spawn({
            let budget = budget.clone();
            move || budget.reserve(1).unwrap().bytes()
        });
        until_asked(&budget, 3);
        thread::sleep(Duration::from_millis(20));
        assert!(!late.is_finished(), "a later call overtook the large one");
        drop(small);
        assert_eq!(large.join().unwrap(), 10);
        assert_eq!(late.join().unwrap(), 1);
    }

    #[test]
    fn many_threads_never_hold_more_than_the_budget() {
        const BYTES: u64 = 1000;
        let budget = MemoryBudget::new(BYTES);
        let (held, most) = (AtomicU64::new(0), AtomicU64::new(0));
        thread::scope(|scope| {
            for thread in 0..8_u64 {
                let (budget, held, most) = (&budget, &held, &most);
                scope.spawn(move || {
                    for round in 0..200 {
                        let bytes = (thread * 131 + round * 67) % BYTES + 1;
                        let reservation = budget.reserve(bytes).unwrap();
                        let now = held.fetch_add(bytes, Ordering::SeqCst) + bytes;
                        most.fetch_max(now, Ordering::SeqCst);
                        thread::yield_now();
                        held.fetch_sub(bytes, Ordering::SeqCst);
                        drop(reservation);
                    }
                });
            }
        });
        let most = most.into_inner();
        assert!(most > 0 && most <= BYTES, "{most}");
        assert_eq!(budget.reserved(), 0);
    }

    #[test]
    fn kept_memory_and_the_budget_are_the_whole_together() {
        for (bytes, jobs) in [(1 << 20, 1), (512 << 20, 8), (6 << 30, 2), (100, 64)] {
            let memory = ImageMemory::new(bytes, jobs);
            let kept = memory.kept * 2 * jobs as u64;
            assert!(memory.budget.bytes() + kept <= bytes, "{bytes} {jobs}");
            assert!(memory.budget.bytes() >= bytes / 8 * 7, "{bytes} {jobs}");
        }
    }

    #[test]
    fn the_bytes_for_an_image_suffice() {
        for needed in [1, 7 << 20, (7 << 20) + 1, 5_368_709_120, 123_456_789] {
            let bytes = ImageMemory::bytes_for(needed);
            assert!(
                ImageMemory::new(bytes, 1).budget.bytes() >= needed,
                "{needed}"
            );
        }
    }
}
