//! A flag that ends one connection from outside and wakes the task that serves it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Waker};

/// Set once, never taken back.
#[derive(Default)]
pub(crate) struct Cut {
    set: AtomicBool,
    // One stream has one reader, so one waker is enough.
    waker: Mutex<Option<Waker>>,
}

impl Cut {
    /// Ends the connection: its stream reports the end of input and takes no more output.
    pub(crate) fn cut(&self) {
        self.set.store(true, Ordering::Release);
        if let Some(waker) = self.waker.lock().unwrap_or_else(PoisonError::into_inner).take() {
            waker.wake();
        }
    }

    /// Whether it is set.
    pub(crate) fn is_cut(&self) -> bool {
        self.set.load(Ordering::Acquire)
    }

    /// Whether it is set; if not, the task of `cx` is woken when it will be.
    pub(crate) fn poll_cut(&self, cx: &Context<'_>) -> bool {
        if self.is_cut() {
            return true;
        }
        let mut waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner);
        match waker.as_mut() {
            Some(waker) => waker.clone_from(cx.waker()),
            None => *waker = Some(cx.waker().clone()),
        }
        // It may have been set between the first look and the lock.
        self.is_cut()
    }
}
