//! Between the traffic threads and the thread that writes to one target.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::Thread;
use std::time::{Duration, Instant};

use octavia_model::AmphoraId;
use octavia_wire::LogTarget;

use super::pen::ROOM;
use super::sink::Sink;

/// How long lines gather before they are written together: the thread that writes is not woken for each.
const GATHER: Duration = Duration::from_millis(20);
/// After how long what failed is tried again.
const RETRY: Duration = Duration::from_millis(100);
/// How often the same complaint is made, at most.
const COMPLAIN: Duration = Duration::from_mins(1);
/// How long the end waits for what is not written yet.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Lines of all targets since the start.
#[derive(Debug, Default)]
pub(crate) struct LogCounters {
    written: AtomicU64,
    dropped: AtomicU64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct LogTotals {
    pub(crate) written: u64,
    pub(crate) dropped: u64,
}

impl LogCounters {
    pub(super) fn dropped(&self, lines: u64) {
        self.dropped.fetch_add(lines, Relaxed);
    }

    pub(super) fn written(&self, lines: u64) {
        self.written.fetch_add(lines, Relaxed);
    }

    pub(crate) fn totals(&self) -> LogTotals {
        LogTotals { written: self.written.load(Relaxed), dropped: self.dropped.load(Relaxed) }
    }
}

/// What the agent has opened for a target.
#[derive(Debug)]
pub(super) struct Opened(pub(super) OwnedFd);

/// A target, and the lines that wait for it.
#[derive(Debug)]
pub(crate) struct Outlet {
    pub(super) target: LogTarget,
    /// One for each traffic thread. Locked for a moment, to add to it or to take it away whole.
    slots: Box<[Mutex<Vec<u8>>]>,
    /// What to write to from now on.
    opened: Mutex<Option<Opened>>,
    writer: OnceLock<Thread>,
    /// When it was closed.
    closed: OnceLock<Instant>,
    done: Mutex<bool>,
    is_done: Condvar,
    pub(super) counters: Arc<LogCounters>,
}

impl Outlet {
    /// Starts its thread.
    pub(super) fn start(
        target: LogTarget,
        amphora: AmphoraId,
        threads: usize,
        counters: Arc<LogCounters>,
    ) -> std::io::Result<Arc<Self>> {
        let outlet = Arc::new(Self {
            target,
            slots: (0..threads).map(|_| Mutex::default()).collect(),
            opened: Mutex::default(),
            writer: OnceLock::new(),
            closed: OnceLock::new(),
            done: Mutex::new(false),
            is_done: Condvar::new(),
            counters,
        });
        let own = Arc::clone(&outlet);
        let sink = Sink::new(&outlet.target, amphora);
        let thread = std::thread::Builder::new().name("access-log".to_owned());
        let thread = thread.spawn(move || own.write(sink))?;
        let _ = outlet.writer.set(thread.thread().clone());
        Ok(outlet)
    }

    /// Takes all of `lines`, or none, without waiting for anybody; whether it has.
    pub(super) fn take(&self, thread: usize, lines: &mut Vec<u8>) -> bool {
        // Who holds it is about to let go; there is another time.
        let Ok(mut slot) = self.slots[thread].try_lock() else { return false };
        if slot.is_empty() {
            std::mem::swap(&mut *slot, lines);
        } else if slot.len() + lines.len() <= ROOM {
            slot.extend_from_slice(lines);
            lines.clear();
        } else {
            return false;
        }
        drop(slot);
        self.wake();
        true
    }

    pub(super) fn open(&self, opened: Opened) {
        *lock(&self.opened) = Some(opened);
        self.wake();
    }

    pub(super) fn close(&self) {
        let _ = self.closed.set(Instant::now());
        self.wake();
    }

    pub(super) fn settle(&self) {
        let done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.is_done.wait_timeout_while(done, LAST_WORDS, |done| !*done);
        // It goes with the process, wherever it hangs.
        drop(waited);
    }

    fn wake(&self) {
        if let Some(writer) = self.writer.get() {
            writer.unpark();
        }
    }

    /// The thread: writes what comes until there is nothing more to come.
    fn write(&self, mut sink: Sink) {
        let mut batch = vec![];
        let mut complained = None;
        loop {
            // Looked at first: what was given before it was closed is found after that.
            let closed = self.is_closed();
            let mut idle = true;
            for slot in &self.slots {
                std::mem::swap(&mut *lock(slot), &mut batch);
                if !batch.is_empty() {
                    idle = false;
                    let lost = self.deliver(&batch, &mut sink, &mut complained);
                    self.counters.dropped(lost);
                    batch.clear();
                }
            }
            match (idle, closed) {
                (true, true) => break,
                (true, false) => std::thread::park(),
                (false, _) => std::thread::sleep(GATHER),
            }
        }
        *lock(&self.done) = true;
        self.is_done.notify_all();
    }

    /// Writes lines, however long it takes; after the end only for a while, and as long as it goes well. Says how many were
    /// lost.
    fn deliver(&self, mut lines: &[u8], sink: &mut Sink, complained: &mut Option<Instant>) -> u64 {
        let mut lost = 0;
        loop {
            if let Some(Opened(fd)) = lock(&self.opened).take() {
                sink.open(fd);
            }
            let progress = sink.write(lines);
            self.counters.written(progress.written);
            lost += progress.lost;
            lines = &lines[progress.used..];
            if lines.is_empty() {
                return lost;
            }
            let over = match self.closed.get() {
                None => false,
                Some(at) => progress.trouble.is_some() || at.elapsed() >= LAST_WORDS,
            };
            if over {
                return lost + lines.iter().filter(|&&byte| byte == b'\n').count() as u64;
            }
            if let Some(error) = progress.trouble {
                let now = Instant::now();
                if complained.is_none_or(|before| before + COMPLAIN <= now) {
                    *complained = Some(now);
                    tracing::warn!(to = ?self.target, %error, "the access log waits");
                }
                std::thread::sleep(RETRY);
            }
        }
    }

    fn is_closed(&self) -> bool {
        self.closed.get().is_some()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
