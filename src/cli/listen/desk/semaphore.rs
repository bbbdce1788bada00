//! A bound on how many do something at the same time; whoever comes then waits.
//!
//! For threads that may wait: calls of the desk are made on threads of their own.

use std::sync::{Condvar, Mutex, PoisonError};

/// So many permits.
pub struct Semaphore {
    left: Mutex<usize>,
    returned: Condvar,
}

/// One of them; given back when it is dropped.
pub struct Permit<'a>(&'a Semaphore);

impl Semaphore {
    /// A semaphore with `permits`, at least one of them.
    pub fn new(permits: usize) -> Semaphore {
        Semaphore {
            left: Mutex::new(permits.max(1)),
            returned: Condvar::new(),
        }
    }

    /// A permit, as soon as there is one.
    pub fn acquire(&self) -> Permit<'_> {
        let left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let left = self.returned.wait_while(left, |left| *left == 0);
        *left.unwrap_or_else(PoisonError::into_inner) -= 1;
        Permit(self)
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        *self.0.left.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.returned.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn no_more_than_its_permits_are_out_and_everybody_gets_one() {
        let semaphore = Semaphore::new(2);
        let (inside, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| {
                    let _permit = semaphore.acquire();
                    assert!(inside.fetch_add(1, Ordering::SeqCst) < 2);
                    std::thread::yield_now();
                    inside.fetch_sub(1, Ordering::SeqCst);
                    done.fetch_add(1, Ordering::SeqCst);
                });
            }
        });
        assert_eq!(done.into_inner(), 16);
    }
}
