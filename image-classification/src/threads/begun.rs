//! A future that one thread begins and another one ends.

use std::any::Any;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// Returns the result of the future that `work` returns, and the job that does the work and polls its future once. The
/// result is `None` if the work panicked.
///
/// The first poll already has the waker of the task that awaits the result. If the future is not ready then, the task
/// sleeps until the future can go on.
pub fn begun<F: Future>(work: impl FnOnce() -> F) -> (Begun<F>, impl FnOnce()) {
    let shared = Arc::new(Shared(Mutex::new(State::Begins(None))));
    let job = Job(Arc::clone(&shared));
    let run = move || {
        let shared = &job.0;
        if !shared.is_awaited() {
            return;
        }
        let mut future = Box::pin(work());
        let waker = shared.take_waker();
        let mut context = Context::from_waker(waker.as_ref().unwrap_or(Waker::noop()));
        let poll = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(&mut context)));
        match poll {
            Ok(Poll::Pending) => shared.end(State::Runs(future), None),
            Ok(Poll::Ready(result)) => shared.end(State::Done(Some(result)), waker),
            Err(panic) => shared.end(State::Panicked(panic), waker),
        }
    };
    let future = None;
    (Begun { shared, future }, run)
}

/// The result of a future that another thread begins.
pub struct Begun<F: Future> {
    shared: Arc<Shared<F>>,
    /// The future, once it is begun.
    future: Option<Pin<Box<F>>>,
}

/// The part that the thread has. If it is dropped before it has a future, there is no result.
struct Job<F: Future>(Arc<Shared<F>>);

struct Shared<F: Future>(Mutex<State<F>>);

enum State<F: Future> {
    /// The work is not done, or the future is polled for the first time. Has the waker of the task unless the poll has
    /// it.
    Begins(Option<Waker>),
    Runs(Pin<Box<F>>),
    /// `None` if there will be no result.
    Done(Option<F::Output>),
    /// The first poll panicked.
    Panicked(Box<dyn Any + Send>),
    /// The task has the future or the result, or does not want it any more.
    Taken,
}

impl<F: Future> Shared<F> {
    /// Locks the state. No other code runs under this lock, and the state is consistent at every point.
    fn lock(&self) -> MutexGuard<'_, State<F>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_awaited(&self) -> bool {
        !matches!(*self.lock(), State::Taken)
    }

    /// Takes the waker for the first poll. If the task is polled during that, it leaves another one.
    fn take_waker(&self) -> Option<Waker> {
        match &mut *self.lock() {
            State::Begins(waker) => waker.take(),
            _ => None,
        }
    }

    /// Ends the beginning, if somebody waits for its end. Wakes the task by `waker`, or by the waker that it has left
    /// since.
    fn end(&self, next: State<F>, waker: Option<Waker>) {
        let mut state = self.lock();
        let State::Begins(left) = &mut *state else {
            return;
        };
        let waker = left.take().or(waker);
        *state = next;
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<F: Future> Future for Begun<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let Some(future) = &mut this.future {
            return future.as_mut().poll(context).map(Some);
        }
        let mut state = this.shared.lock();
        if let State::Begins(waker) = &mut *state {
            let own = context.waker();
            if !waker.as_ref().is_some_and(|waker| waker.will_wake(own)) {
                *waker = Some(own.clone());
            }
            return Poll::Pending;
        }
        let taken = mem::replace(&mut *state, State::Taken);
        drop(state);
        match taken {
            State::Runs(future) => {
                let future = this.future.insert(future);
                future.as_mut().poll(context).map(Some)
            }
            State::Done(result) => Poll::Ready(result),
            State::Panicked(panic) => resume_unwind(panic),
            State::Begins(_) | State::Taken => Poll::Ready(None),
        }
    }
}

impl<F: Future> Drop for Begun<F> {
    fn drop(&mut self) {
        let taken = mem::replace(&mut *self.shared.lock(), State::Taken);
        drop(taken);
    }
}

impl<F: Future> Drop for Job<F> {
    fn drop(&mut self) {
        self.0.end(State::Done(None), None);
    }
}

#[cfg(test)]
mod tests {
    use std::future::{Ready, pending, poll_fn, ready};
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use futures_executor::block_on;

    use super::*;

    /// A task that counts how often it is woken.
    #[derive(Default)]
    struct Task(AtomicUsize);

    impl Wake for Task {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    impl Task {
        fn poll<F: Future>(self: &Arc<Self>, begun: &mut Begun<F>) -> Poll<Option<F::Output>> {
            let waker = Waker::from(Arc::clone(self));
            Pin::new(begun).poll(&mut Context::from_waker(&waker))
        }

        fn wakes(&self) -> usize {
            self.0.load(Ordering::SeqCst)
        }
    }

    #[test]
    fn the_task_sleeps_until_the_future_can_go_on() {
        let task = Arc::new(Task::default());
        let kept: Arc<Mutex<Option<Waker>>> = Arc::default();
        let keeps = Arc::clone(&kept);
        let mut polls = 0;
        let future = poll_fn(move |context| {
            polls += 1;
            *keeps.lock().unwrap() = Some(context.waker().clone());
            if polls == 1 {
                Poll::Pending
            } else {
                Poll::Ready(polls)
            }
        });
        let (mut result, job) = begun(|| future);
        assert!(task.poll(&mut result).is_pending());
        job();
        assert_eq!(task.wakes(), 0);
        kept.lock().unwrap().take().unwrap().wake();
        assert_eq!(task.wakes(), 1);
        assert_eq!(task.poll(&mut result), Poll::Ready(Some(2)));
    }

    #[test]
    fn a_task_that_is_polled_during_the_first_poll_is_woken_after_it() {
        type Inner = Pin<Box<dyn Future<Output = ()> + Send>>;
        let task = Arc::new(Task::default());
        let result: Arc<Mutex<Option<Begun<Inner>>>> = Arc::default();
        let (polls, own) = (Arc::clone(&result), Arc::clone(&task));
        let (new, job) = begun(move || -> Inner {
            Box::pin(poll_fn(move |_| {
                let mut result = polls.lock().unwrap();
                assert!(own.poll(result.as_mut().unwrap()).is_pending());
                Poll::Pending
            }))
        });
        *result.lock().unwrap() = Some(new);
        job();
        assert_eq!(task.wakes(), 1);
    }

    #[test]
    fn a_result_of_the_first_poll_wakes_the_task() {
        let task = Arc::new(Task::default());
        let (mut result, job) = begun(|| ready(7));
        assert!(task.poll(&mut result).is_pending());
        job();
        assert_eq!(task.wakes(), 1);
        assert_eq!(task.poll(&mut result), Poll::Ready(Some(7)));
    }

    #[test]
    fn dropping_the_result_drops_the_future() {
        let held = Arc::new(());
        let holds = Arc::clone(&held);
        let (result, job) = begun(move || async move {
            pending::<()>().await;
            drop(holds);
        });
        job();
        assert_eq!(Arc::strong_count(&held), 2);
        drop(result);
        assert_eq!(Arc::strong_count(&held), 1);
    }

    #[test]
    fn a_panic_of_the_work_gives_no_result_and_one_of_the_future_goes_on() {
        let (result, job) = begun(|| -> Ready<()> { panic!("planned") });
        assert!(catch_unwind(AssertUnwindSafe(job)).is_err());
        assert_eq!(block_on(result), None);
        let (result, job) = begun(|| async { panic!("planned") });
        job();
        let wait = || block_on::<Begun<_>>(result);
        assert!(catch_unwind(AssertUnwindSafe(wait)).is_err());
    }
}
