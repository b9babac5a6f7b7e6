//! Where records of writes go: a thread of its own writes them to a file or the log, so that no request waits for a
//! disk. What does not fit into its queue is lost, and the loss is told.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context;
use octavia_api::{AuditSink, Who};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use tokio::signal::unix::{SignalKind, signal};

/// At most one line of the log about trouble in this time.
const COMPLAIN_EVERY: Duration = Duration::from_secs(60);

#[derive(Debug, Clone)]
pub(crate) struct AuditSettings {
    pub(crate) enabled: bool,
    /// `None` = the log.
    pub(crate) file: Option<PathBuf>,
    /// Records that may wait.
    pub(crate) queue: usize,
    /// In capitals.
    pub(crate) ignored_methods: Vec<String>,
}

/// Takes records without waiting. Cheap to clone; clones share the queue.
#[derive(Debug, Clone)]
pub(crate) struct AuditLog {
    queue: SyncSender<Message>,
    /// Records that may wait.
    room: usize,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Records that wait, about.
    waiting: AtomicUsize,
    /// Lost and not yet told.
    lost: AtomicU64,
    reopen: AtomicBool,
    stop: AtomicBool,
    records: Counter,
    records_lost: Counter,
}

#[derive(Debug)]
enum Message {
    Record(String),
    /// Look at the flags.
    Nudge,
}

/// The thread that writes.
#[derive(Debug)]
pub(crate) struct AuditWriter {
    log: AuditLog,
    thread: JoinHandle<()>,
}

impl AuditSink for AuditLog {
    fn record(&self, who: Who, line: String) {
        self.shared.records.inc();
        let waiting = self.shared.waiting.fetch_add(1, Ordering::Relaxed);
        // Anybody can flood us; half of the room is for those who are known.
        let room = match who {
            Who::Caller => self.room,
            Who::Nobody => self.room.div_ceil(2),
        };
        if waiting >= room || self.queue.try_send(Message::Record(line)).is_err() {
            self.shared.waiting.fetch_sub(1, Ordering::Relaxed);
            self.shared.lose();
        }
    }
}

impl AuditLog {
    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register("audit_records", "Records of writes that were made", self.shared.records.clone());
        registry.register(
            "audit_records_lost",
            "Records of writes that were not written: the disk was too slow, or failed",
            self.shared.records_lost.clone(),
        );
    }

    /// Another file may be at the path now.
    fn reopen(&self) {
        self.shared.reopen.store(true, Ordering::Release);
        self.nudge();
    }

    /// When the queue is full, the writer is awake anyway.
    fn nudge(&self) {
        let _ = self.queue.try_send(Message::Nudge);
    }
}

impl Shared {
    fn lose(&self) {
        self.lost.fetch_add(1, Ordering::Relaxed);
        self.records_lost.inc();
    }
}

impl AuditWriter {
    /// Starts the thread. With a file, SIGHUP does not end the process any more, but has the file opened anew.
    pub(crate) fn start(settings: &AuditSettings) -> anyhow::Result<Self> {
        if let Some(path) = &settings.file {
            // Now somebody looks; later it would only be told. A pipe without a reader would hold us up.
            let usual = path.metadata().map_or(true, |metadata| metadata.is_file());
            if usual {
                open(path).with_context(|| format!("[audit] file: cannot write {}", path.display()))?;
            }
        }
        let (queue, messages) = sync_channel(settings.queue);
        let log = AuditLog { queue, room: settings.queue, shared: Arc::default() };
        let mut output = Output::new(settings.file.clone(), Arc::clone(&log.shared));
        let thread = std::thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || output.run(&messages))
            .context("the thread for audit records does not start")?;
        if settings.file.is_some() {
            let mut hangups = signal(SignalKind::hangup())?;
            let log = log.clone();
            tokio::spawn(async move {
                while hangups.recv().await.is_some() {
                    log.reopen();
                }
            });
        }
        Ok(Self { log, thread })
    }

    pub(crate) const fn log(&self) -> &AuditLog {
        &self.log
    }

    /// Writes what waits, for at most so long.
    pub(crate) async fn stop(self, limit: Duration) {
        self.log.shared.stop.store(true, Ordering::Release);
        self.log.nudge();
        let deadline = Instant::now() + limit;
        while !self.thread.is_finished() {
            if Instant::now() >= deadline {
                tracing::error!("some audit records are not written: the disk does not take them");
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    File::options().create(true).append(true).mode(0o600).open(path)
}

/// The writer's side.
struct Output {
    path: Option<PathBuf>,
    shared: Arc<Shared>,
    file: Option<File>,
    /// A line was not written to its end.
    torn: bool,
    complained: Option<Instant>,
}

impl Output {
    const fn new(path: Option<PathBuf>, shared: Arc<Shared>) -> Self {
        Self { path, shared, file: None, torn: false, complained: None }
    }

    fn run(&mut self, messages: &Receiver<Message>) {
        while let Ok(message) = messages.recv() {
            self.take(message);
            if self.shared.stop.load(Ordering::Acquire) {
                while let Ok(message) = messages.try_recv() {
                    self.take(message);
                }
                return;
            }
        }
    }

    fn take(&mut self, message: Message) {
        if self.shared.reopen.swap(false, Ordering::AcqRel) {
            self.file = None;
        }
        if let Message::Record(line) = message {
            self.shared.waiting.fetch_sub(1, Ordering::Relaxed);
            if let Err(error) = self.write(&line) {
                self.shared.lose();
                self.complain(&format!("an audit record cannot be written: {error}"));
            }
        }
        self.tell_lost();
    }

    fn tell_lost(&mut self) {
        let lost = self.shared.lost.swap(0, Ordering::Relaxed);
        if lost == 0 {
            return;
        }
        let line = serde_json::json!({
            "typeURI": "http://schemas.dmtf.org/cloud/audit/1.0/event",
            "eventType": "monitor",
            "eventTime": jiff::Timestamp::now().to_string(),
            "action": "lose",
            "outcome": "failure",
            "lost": lost,
        });
        match self.write(&line.to_string()) {
            Ok(()) => self.complain(&format!("{lost} audit records are lost")),
            // Told when it can be.
            Err(_) => {
                self.shared.lost.fetch_add(lost, Ordering::Relaxed);
            }
        }
    }

    fn write(&mut self, line: &str) -> io::Result<()> {
        let Some(path) = &self.path else {
            tracing::info!(target: "octavia::audit", "{line}");
            return Ok(());
        };
        let file = match self.file.take() {
            Some(file) => file,
            None => open(path)?,
        };
        let start = if self.torn { "\n" } else { "" };
        self.torn = true;
        (&file).write_all(format!("{start}{line}\n").as_bytes())?;
        self.torn = false;
        self.file = Some(file);
        Ok(())
    }

    fn complain(&mut self, what: &str) {
        if self.complained.is_none_or(|at| at.elapsed() >= COMPLAIN_EVERY) {
            self.complained = Some(Instant::now());
            tracing::error!("{what} (more may follow unsaid)");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Read;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    fn settings(file: PathBuf, queue: usize) -> AuditSettings {
        AuditSettings { enabled: true, file: Some(file), queue, ignored_methods: vec![] }
    }

    #[tokio::test]
    async fn after_a_rotation_records_go_to_the_new_file() {
        let dir = tempfile::tempdir().unwrap();
        let (path, old) = (dir.path().join("audit"), dir.path().join("audit.1"));
        let writer = AuditWriter::start(&settings(path.clone(), 10)).unwrap();
        writer.log().record(Who::Caller, "one".to_owned());
        let deadline = Instant::now() + LIMIT;
        while fs::read_to_string(&path).unwrap() != "one\n" {
            assert!(Instant::now() < deadline);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        fs::rename(&path, &old).unwrap();
        writer.log().reopen();
        writer.log().record(Who::Caller, "two".to_owned());
        writer.stop(LIMIT).await;
        assert_eq!(fs::read_to_string(&path).unwrap(), "two\n");
        assert_eq!(fs::read_to_string(&old).unwrap(), "one\n");
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    /// A pipe that nobody reads is the slowest disk there is.
    #[tokio::test]
    async fn a_slow_disk_holds_up_nobody_and_losses_are_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pipe");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &path,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
            0,
        )
        .unwrap();
        let writer = AuditWriter::start(&settings(path.clone(), 4)).unwrap();
        // One may be in the writer's hands, two wait, for whom nobody knows.
        for _ in 0..10 {
            writer.log().record(Who::Nobody, "n".to_owned());
        }
        let lost = writer.log().shared.records_lost.get();
        assert!((7..=8).contains(&lost), "{lost}");
        // There is room for others.
        writer.log().record(Who::Caller, "c".to_owned());
        writer.log().record(Who::Caller, "c".to_owned());
        assert_eq!(writer.log().shared.records_lost.get(), lost);
        for _ in 0..10 {
            writer.log().record(Who::Caller, "d".to_owned());
        }
        let lost = writer.log().shared.records_lost.get();
        assert!((17..=18).contains(&lost), "{lost}");
        let reader = std::thread::spawn(move || {
            let mut text = String::new();
            File::open(path).unwrap().read_to_string(&mut text).unwrap();
            text
        });
        writer.stop(LIMIT).await;
        // The writer has closed the pipe.
        let text = reader.join().unwrap();
        let told: u64 = text
            .lines()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok()?["lost"].as_u64())
            .sum();
        assert_eq!(told, lost, "{text}");
        assert_eq!(text.lines().filter(|line| line.len() == 1).count() as u64, 22 - lost, "{text}");
        assert_eq!(text.lines().filter(|line| *line == "c").count(), 2, "{text}");
    }

    #[tokio::test]
    async fn what_cannot_be_written_is_lost_and_counted() {
        let dir = tempfile::tempdir().unwrap();
        let nowhere = dir.path().join("no/audit");
        assert!(AuditWriter::start(&settings(nowhere, 1)).is_err());
        // As a disk that is full.
        let writer = AuditWriter::start(&settings("/dev/full".into(), 10)).unwrap();
        writer.log().record(Who::Caller, "one".to_owned());
        writer.log().record(Who::Caller, "two".to_owned());
        let log = writer.log().clone();
        writer.stop(LIMIT).await;
        assert_eq!((log.shared.records.get(), log.shared.records_lost.get()), (2, 2));
    }
}
