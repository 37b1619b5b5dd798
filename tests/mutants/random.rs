//! The generator of random numbers. Its numbers never change, so that a seed and a place name an input for good.

/// `SplitMix64`.
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    /// A generator for input `index` of `corpus`.
    pub fn of(seed: u64, corpus: &str, index: u64) -> Self {
        let mut state = Self(seed);
        for byte in corpus.bytes().chain(index.to_le_bytes()) {
            state.0 ^= u64::from(byte);
            state.next();
        }
        state
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`; 0 for a limit of 0.
    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() % (limit.max(1) as u64)) as usize
    }

    pub fn byte(&mut self) -> u8 {
        self.next() as u8
    }

    /// True once in `times`.
    pub fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// One of `all`, which must not be empty.
    pub fn one_of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}
