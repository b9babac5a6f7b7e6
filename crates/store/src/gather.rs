//! Waiting for many rows without being woken for each.
//!
//! SQLite's driver reads on a thread of its own and wakes the reader with every row. On one core each wake-up takes the
//! core from that thread, and the rows of a long list cost more switches than work. So after the first few the reader
//! looks again every millisecond only; the rows wait in the channel between them. A database in memory is read on such a
//! thread, too, and a list of it gains as one of a file does: what the pauses cost is a millisecond at most, at the end.

use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

/// Wake-ups that are passed on: short lists wait for nothing.
const PASSED_ON: u32 = 24;
const PAUSE: Duration = Duration::from_millis(1);

/// Rows that may wait: more than come in [`PAUSE`], or the reader's pause would be the other thread's, too.
pub(crate) const ROOM: usize = 1024;

/// The future's result, awaited as the module says.
pub(crate) async fn gathered<F: Future>(future: F) -> F::Output {
    let gate = Arc::new(Gate::default());
    let waker = Waker::from(Arc::clone(&gate));
    let mut future = pin!(future);
    let mut pause: Option<Pin<Box<tokio::time::Sleep>>> = None;
    std::future::poll_fn(move |cx| {
        gate.pass_to(cx.waker());
        loop {
            if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                return Poll::Ready(output);
            }
            if !gate.is_closed() {
                return Poll::Pending;
            }
            let sleep = pause.get_or_insert_with(|| Box::pin(tokio::time::sleep(PAUSE)));
            if sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            sleep.as_mut().reset(tokio::time::Instant::now() + PAUSE);
        }
    })
    .await
}

#[derive(Debug, Default)]
struct Gate {
    woken: AtomicU32,
    task: Mutex<Option<Waker>>,
}

impl Gate {
    fn pass_to(&self, waker: &Waker) {
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if !task.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *task = Some(waker.clone());
        }
    }

    fn is_closed(&self) -> bool {
        self.woken.load(Ordering::Acquire) >= PASSED_ON
    }
}

impl Wake for Gate {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // The last that is passed on lets the reader see that the gate is closed.
        if self.woken.load(Ordering::Acquire) >= PASSED_ON {
            return;
        }
        self.woken.fetch_add(1, Ordering::AcqRel);
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(task) = task.as_ref() {
            task.wake_by_ref();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Many rows come from another thread.
    async fn check(rows: usize) {
        let (send, mut rows_of) = tokio::sync::mpsc::channel(ROOM);
        let producer = std::thread::spawn(move || {
            (0..rows).for_each(|row| send.blocking_send(row).unwrap());
        });
        let read = async {
            let mut count = 0;
            while rows_of.recv().await.is_some() {
                count += 1;
            }
            count
        };
        assert_eq!(gathered(read).await, rows);
        producer.join().unwrap();
    }

    #[tokio::test]
    async fn every_row_arrives() {
        for rows in [0, 1, 23, 24, 25, 1_000, 20_000] {
            check(rows).await;
        }
    }

    /// The end is seen although nobody says so any more, and the reader looks about once in a pause.
    #[tokio::test]
    async fn a_closed_gate_is_looked_at_again() {
        let mut left = 2 * PASSED_ON;
        let woken = std::future::poll_fn(|cx| {
            left -= 1;
            cx.waker().wake_by_ref();
            if left == 0 { Poll::Ready(()) } else { Poll::Pending }
        });
        let start = tokio::time::Instant::now();
        gathered(woken).await;
        assert!(start.elapsed() >= PAUSE * (PASSED_ON - 2));
    }
}
