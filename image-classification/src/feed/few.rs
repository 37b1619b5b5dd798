//! Values of which there is usually one, without an allocation for it.

use futures_util::future::join_all;
use smallvec::{SmallVec, smallvec};

/// Values of which there is one in the usual feed: of one run, without batches. Two would double the size of the futures
/// that hold them.
pub type Few<T> = SmallVec<[T; 1]>;

/// Awaits all `futures` at a time.
pub async fn join_few<F: Future>(futures: impl IntoIterator<Item = F>) -> Few<F::Output> {
    let mut futures: Few<F> = futures.into_iter().collect();
    match futures.pop() {
        Some(only) if futures.is_empty() => smallvec![only.await],
        last => join_all(futures.into_iter().chain(last)).await.into(),
    }
}

/// Splits values into chunks of `size`.
pub struct Chunks<I> {
    pub values: I,
    pub size: usize,
}

impl<I: Iterator> Iterator for Chunks<I> {
    type Item = Few<I::Item>;

    fn next(&mut self) -> Option<Self::Item> {
        let group: Few<I::Item> = self.values.by_ref().take(self.size).collect();
        (!group.is_empty()).then_some(group)
    }
}
