//! hyper's timer for the heads of one connection: one entry with the runtime for all of them.
//!
//! hyper begins each head with a new timer, which is nearly never needed. To enter each with the runtime wakes its driver
//! each time, which costs as much as reading the request. Here what is entered stays until it runs out, and is put off only
//! then.
//!
//! Invariant: a wait ends at its deadline, not before.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use hyper::rt::{Sleep, Timer};

type Entry = Pin<Box<tokio::time::Sleep>>;

/// One connection's timer.
#[derive(Clone, Default)]
pub(super) struct HeadTimer {
    /// The entry, while no wait has it. Behind a lock, as hyper asks for what could be shared by threads.
    spare: Arc<Mutex<Option<Entry>>>,
}

impl Timer for HeadTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until(self.now() + duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        let entry = self
            .spare
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        Box::pin(Wait {
            entry,
            deadline: deadline.into(),
            timer: self.clone(),
        })
    }

    fn now(&self) -> Instant {
        tokio::time::Instant::now().into()
    }
}

/// A wait for a deadline.
struct Wait {
    entry: Option<Entry>,
    deadline: tokio::time::Instant,
    timer: HeadTimer,
}

impl Sleep for Wait {}

impl Future for Wait {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let deadline = self.deadline;
        let entry = self
            .entry
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        if entry.deadline() > deadline {
            entry.as_mut().reset(deadline);
        }
        loop {
            ready!(entry.as_mut().poll(cx));
            if entry.deadline() >= deadline {
                return Poll::Ready(());
            }
            entry.as_mut().reset(deadline);
        }
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        if let Some(entry) = self.entry.take().filter(|entry| !entry.is_elapsed()) {
            *self
                .timer
                .spare
                .lock()
                .unwrap_or_else(PoisonError::into_inner) = Some(entry);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_end_at_their_deadlines_whatever_was_waited_for_before() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        runtime.block_on(async {
            let timer = HeadTimer::default();
            let begin = timer.now();
            for (first, then) in [(20, 60), (60, 20), (20, 20)] {
                let mut begun = timer.sleep(Duration::from_millis(first));
                std::future::poll_fn(|cx| {
                    assert!(begun.as_mut().poll(cx).is_pending());
                    Poll::Ready(())
                })
                .await;
                drop(begun);
                let before = timer.now();
                timer.sleep(Duration::from_millis(then)).await;
                assert!(
                    before.elapsed() >= Duration::from_millis(then),
                    "{first} {then}"
                );
            }
            assert!(begin.elapsed() < Duration::from_secs(10));
        });
    }
}
