//! The proxy's process: started, found again, waited for, ended.

mod sharing;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use octavia_model::PoolId;
use octavia_wire::{
    AmphoraSpec, Estate, ListenerFault, ProcessId, ProxyCommand, ProxyEvent, ProxyReport, Reckoning,
    SocketName, files,
};
use rustix::process::{Signal, WaitId, WaitIdOptions, pidfd_send_signal};
use tokio::io::unix::AsyncFd;
use tokio::time::Instant;
use uuid::Uuid;

use crate::directory::Directory;
use crate::link::{Hello, Link, LinkError};
use crate::logs::Opened;
use crate::namespace::{Namespace, within};
use crate::sys::watch_process;

/// How long a new proxy may take until it answers: generous, for killing slow starters makes a busy machine busier.
const START_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a proxy that was found running may take.
const FIND_TIMEOUT: Duration = Duration::from_secs(5);
/// A log that has grown beyond this gives way to a new one.
const LOG_MAX: u64 = 4 << 20;

#[derive(Debug, thiserror::Error)]
pub(crate) enum ProxyError {
    #[error("it cannot be started: {0}")]
    Spawn(io::Error),
    #[error("it ended at its start with {0}; see {log}", log = files::PROXY_LOG)]
    EndedAtStart(String),
    #[error("it did not answer within {START_TIMEOUT:?} of its start")]
    NotReady,
    #[error("one that was to take over before is still there")]
    InTheWay,
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// How proxies are started.
#[derive(Debug, Clone)]
pub(crate) struct Launch {
    /// A program and its first arguments.
    pub(crate) command: Vec<OsString>,
    /// Where they live; `None` = where the agent does.
    pub(crate) namespace: Option<Namespace>,
}

/// A living proxy that answers.
#[derive(Debug)]
pub(crate) struct Proxy {
    process: Process,
    link: Link,
    /// The name of the socket it listens at.
    pub(crate) socket: String,
    pub(crate) boot: Uuid,
    /// Which of those that go on with each other's totals it is.
    pub(crate) life: Uuid,
    pub(crate) threads: u16,
    /// `(fence, generation)` it runs.
    pub(crate) running: (u64, u64),
    /// The listening sockets it has.
    pub(crate) held: BTreeSet<SocketName>,
    /// It takes descriptors for access logs; an older one would take them for sockets.
    pub(crate) takes_logs: bool,
    /// It shares its stick tables; an older one would not understand it.
    shares: bool,
}

/// What became of a configuration.
#[derive(Debug)]
pub(crate) enum Configured {
    Applied,
    /// With the listeners, if any, without whose identities it would be taken.
    Refused(String, Vec<ListenerFault>),
}

impl Proxy {
    /// The proxy that lives in the directory, and its listening sockets; one that lives but does not answer is killed.
    pub(crate) async fn find(
        directory: &Directory,
    ) -> Result<Option<(Self, Vec<(SocketName, OwnedFd)>)>, ProxyError> {
        let deadline = Instant::now() + FIND_TIMEOUT;
        let mut pause = Pause::default();
        loop {
            let process = match ProcessId::read(&directory.file(files::PROXY_PID))? {
                Some(id) => Process::adopt(id)?,
                None => None,
            };
            let last = Instant::now() >= deadline;
            match Link::connect(&directory.file(files::PROXY_SOCKET)).await {
                Ok(link) => match Self::meet(link, files::PROXY_SOCKET, process, last).await {
                    // It may be healthy, and only this connection was not.
                    Err(error) if !last => tracing::warn!(%error, "the proxy did not greet: tried again"),
                    met => return met.map(Some),
                },
                Err(error) => match process {
                    None => return Ok(None),
                    Some(process) if last => {
                        tracing::warn!(%error, pid = process.id.pid, "the proxy runs but does not listen: ended");
                        process.kill().await;
                        return Ok(None);
                    }
                    Some(_) => {}
                },
            }
            pause.wait().await;
        }
    }

    /// Starts a proxy and waits until it answers.
    pub(crate) async fn start(
        directory: &Directory,
        launch: &Launch,
        threads: u16,
    ) -> Result<(Self, Vec<(SocketName, OwnedFd)>), ProxyError> {
        Self::start_at(directory, launch, threads, "").await
    }

    /// The same of one that is to take over: it goes by other names.
    pub(crate) async fn start_next(
        directory: &Directory,
        launch: &Launch,
        threads: u16,
    ) -> Result<Self, ProxyError> {
        let (proxy, _) = Self::start_at(directory, launch, threads, files::NEXT).await?;
        if proxy.process.child.is_none() {
            return Err(ProxyError::InTheWay);
        }
        Ok(proxy)
    }

    async fn start_at(
        directory: &Directory,
        launch: &Launch,
        threads: u16,
        suffix: &str,
    ) -> Result<(Self, Vec<(SocketName, OwnedFd)>), ProxyError> {
        let socket = format!("{}{suffix}", files::PROXY_SOCKET);
        let next = suffix == files::NEXT;
        let mut process = Process::spawn(directory, launch, threads, next).map_err(ProxyError::Spawn)?;
        let deadline = Instant::now() + START_TIMEOUT;
        let mut pause = Pause::default();
        loop {
            if let Ok(link) = Link::connect(&directory.file(&socket)).await {
                return Self::meet(link, &socket, Some(process), true).await;
            }
            tokio::select! {
                () = process.ended() => return Err(ProxyError::EndedAtStart(process.reap())),
                () = pause.wait() => {}
            }
            if Instant::now() >= deadline {
                process.kill().await;
                return Err(ProxyError::NotReady);
            }
        }
    }

    /// The first words with whoever listens. One that is silent is killed; one that fails otherwise, if `last`.
    async fn meet(
        mut link: Link,
        socket: &str,
        process: Option<Process>,
        last: bool,
    ) -> Result<(Self, Vec<(SocketName, OwnedFd)>), ProxyError> {
        let peer = link.peer_pid()?;
        let mut process = match process {
            Some(process) if process.id.pid == peer => process,
            // Who listens is not whom we expected: an older proxy holds the directory, and ours leaves.
            other => {
                if let Some(mut other) = other {
                    tokio::spawn(async move {
                        other.ended().await;
                        other.reap();
                    });
                }
                let id = ProcessId::of(peer)?.ok_or(LinkError::Closed)?;
                Process::adopt(id)?.ok_or(LinkError::Closed)?
            }
        };
        let Hello { boot, process: life, threads, running, sockets, logs, shares } = match link.hello().await
        {
            Ok(hello) => hello,
            Err(error) => {
                if last || matches!(error, LinkError::Silent) {
                    process.kill().await;
                }
                return Err(error.into());
            }
        };
        let held = sockets.iter().map(|(name, _)| *name).collect();
        process.kill_on_drop = false;
        let socket = socket.to_owned();
        Ok((
            Self { process, link, socket, boot, life, threads, running, held, takes_logs: logs, shares },
            sockets,
        ))
    }

    /// A new connection to the same process, in place of one that broke; the sockets it has come along, as at the first.
    /// Tried again for a while, but not when the proxy is silent.
    pub(crate) async fn reconnect(
        &mut self,
        directory: &Directory,
    ) -> Result<Vec<(SocketName, OwnedFd)>, LinkError> {
        self.link.hang_up();
        let deadline = Instant::now() + FIND_TIMEOUT;
        let mut pause = Pause::default();
        loop {
            match self.reconnect_once(directory).await {
                Err(error) if !matches!(error, LinkError::Silent) && Instant::now() < deadline => {
                    tokio::select! {
                        () = self.process.ended() => return Err(LinkError::Closed),
                        () = pause.wait() => {}
                    }
                }
                result => return result,
            }
        }
    }

    pub(crate) async fn reconnect_once(
        &mut self,
        directory: &Directory,
    ) -> Result<Vec<(SocketName, OwnedFd)>, LinkError> {
        let mut link = Link::connect(&directory.file(&self.socket)).await?;
        if link.peer_pid()? != self.pid() {
            return Err(LinkError::Unexpected("another process listens"));
        }
        let hello = link.hello().await?;
        self.link = link;
        self.running = hello.running;
        self.takes_logs = hello.logs;
        self.shares = hello.shares;
        self.held = hello.sockets.iter().map(|(name, _)| *name).collect();
        Ok(hello.sockets)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id.pid
    }

    pub(crate) async fn configure(
        &mut self,
        spec: &AmphoraSpec,
        new: Vec<(SocketName, Arc<OwnedFd>)>,
        keep: BTreeSet<SocketName>,
        logs: &Opened,
        request_ids: Option<&String>,
    ) -> Result<Configured, LinkError> {
        let (sockets, mut fds): (Vec<_>, Vec<_>) = new.into_iter().unzip();
        let (logs, log_fds): (Vec<_>, Vec<_>) = logs.descriptors().unzip();
        fds.extend(log_fds);
        let command = ProxyCommand::Configure {
            spec: Box::new(spec.clone()),
            sockets: sockets.clone(),
            keep: keep.iter().copied().collect(),
            logs,
            request_ids: request_ids.cloned(),
        };
        match self.link.ask(&command, fds).await? {
            ProxyEvent::Applied { generation, fence } => {
                self.running = (fence, generation);
                self.held = keep;
                self.held.extend(sockets);
                Ok(Configured::Applied)
            }
            ProxyEvent::Refused { error, faults, .. } => Ok(Configured::Refused(error, faults)),
            _ => Err(LinkError::Unexpected("neither applied nor refused")),
        }
    }

    pub(crate) async fn estate(&mut self) -> Result<Box<Estate>, LinkError> {
        match self.link.ask(&ProxyCommand::Estate, vec![]).await? {
            ProxyEvent::Estate(estate) => Ok(estate),
            _ => Err(LinkError::Unexpected("no estate")),
        }
    }

    pub(crate) async fn inherit(&mut self, estate: Box<Estate>) -> Result<(), LinkError> {
        self.boot = estate.boot;
        self.inherits(&ProxyCommand::Inherit(estate)).await
    }

    /// Another process has counted so much by now; `over` = it is gone.
    pub(crate) async fn credit(
        &mut self,
        life: Uuid,
        reckoning: Reckoning,
        over: bool,
    ) -> Result<(), LinkError> {
        self.inherits(&ProxyCommand::Credit { process: life, reckoning: Box::new(reckoning), over }).await
    }

    /// Goes on with a stick table of another's, or learns what has come to it since.
    pub(crate) async fn inherit_table(&mut self, pool: PoolId, from: &mut Self) -> Result<(), LinkError> {
        match from.link.ask(&ProxyCommand::Table { pool }, vec![]).await? {
            ProxyEvent::Table { table: None } => Ok(()),
            ProxyEvent::Table { table: Some(table) } => {
                self.inherits(&ProxyCommand::InheritTable { pool, table }).await
            }
            _ => Err(LinkError::Unexpected("no stick table")),
        }
    }

    async fn inherits(&mut self, command: &ProxyCommand) -> Result<(), LinkError> {
        match self.link.ask(command, vec![]).await? {
            ProxyEvent::Inherited => Ok(()),
            _ => Err(LinkError::Unexpected("it does not inherit")),
        }
    }

    /// Another has taken over: it is to end what it has, within this time.
    pub(crate) async fn step_aside(&mut self, limit: Duration) -> Result<(), LinkError> {
        let seconds = u32::try_from(limit.as_secs()).unwrap_or(u32::MAX);
        match self.link.ask(&ProxyCommand::StepAside { seconds }, vec![]).await? {
            ProxyEvent::SteppedAside => Ok(()),
            _ => Err(LinkError::Unexpected("it does not step aside")),
        }
    }

    /// What it has counted by now, and how many connections it has.
    pub(crate) async fn reckoning(&mut self) -> Result<(u64, Reckoning), LinkError> {
        match self.link.ask(&ProxyCommand::Reckoning, vec![]).await? {
            ProxyEvent::Reckoning { open, reckoning } => Ok((open, *reckoning)),
            _ => Err(LinkError::Unexpected("no reckoning")),
        }
    }

    /// Leaves the file by which it is found again.
    pub(crate) fn write_pid(&self, directory: &Directory) -> io::Result<()> {
        self.process.id.write(&directory.file(files::PROXY_PID))
    }

    /// Asked when it may have ended; the task is woken when it does.
    pub(crate) fn poll_ended(&self, context: &mut std::task::Context<'_>) -> std::task::Poll<()> {
        self.process.pidfd.poll_read_ready(context).map(drop)
    }

    /// Whoever listens at this socket of the directory, if anybody does.
    pub(crate) async fn at(directory: &Directory, socket: &str) -> Option<Self> {
        let link = Link::connect(&directory.file(socket)).await.ok()?;
        match Self::meet(link, socket, None, true).await {
            Ok((proxy, _)) => Some(proxy),
            Err(error) => {
                tracing::warn!(%error, socket, "a proxy that was found is of no use");
                None
            }
        }
    }

    /// Keeps its log bounded, whatever it has to tell of.
    pub(crate) fn trim_log(directory: &Directory) {
        keep_short(&directory.file(files::PROXY_LOG));
    }

    pub(crate) async fn report(&mut self) -> Result<ProxyReport, LinkError> {
        match self.link.ask(&ProxyCommand::Report, vec![]).await? {
            ProxyEvent::Report(report) => Ok(*report),
            _ => Err(LinkError::Unexpected("no report")),
        }
    }

    /// Waits until a status changed (`Ok`), or the proxy is gone. May be dropped and called again at any time.
    pub(crate) async fn changed(&mut self) -> Result<(), LinkError> {
        tokio::select! {
            changed = self.link.changed() => changed,
            () = self.process.ended() => Err(LinkError::Closed),
        }
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.process.has_ended()
    }

    pub(crate) fn kill(&self) {
        self.process.signal(Signal::KILL);
    }

    /// Makes sure that it is gone; says how it ended and how long it had lived.
    pub(crate) async fn end(mut self) -> (String, Duration) {
        let lived = self.process.seen.elapsed();
        if !self.process.has_ended() {
            self.process.signal(Signal::KILL);
            self.process.ended().await;
        }
        (self.process.reap(), lived)
    }

    /// Ends the proxy that may run in the directory without being known here.
    pub(crate) async fn end_stray(directory: &Directory) -> io::Result<()> {
        if let Some(id) = ProcessId::read(&directory.file(files::PROXY_PID))?
            && let Some(process) = Process::adopt(id)?
        {
            process.kill().await;
        }
        Ok(())
    }

    /// Lets open connections finish for a moment, then ends it.
    pub(crate) async fn stop(mut self, grace: Duration) {
        let seconds = u32::try_from(grace.as_secs()).unwrap_or(u32::MAX);
        // The answer does not matter, only the end; one that hangs is ended without grace.
        let drain = ProxyCommand::Drain { seconds };
        let gently = async {
            let _ = self.link.ask(&drain, vec![]).await;
            self.process.ended().await;
        };
        if tokio::time::timeout(grace + Duration::from_secs(1), gently).await.is_err() {
            tracing::warn!(pid = self.pid(), "the proxy does not end: killed");
        }
        self.end().await;
    }
}

/// A process that is waited for by descriptor, so that its pid cannot come to mean another.
#[derive(Debug)]
struct Process {
    id: ProcessId,
    pidfd: AsyncFd<OwnedFd>,
    /// `None` = started by an agent before this one.
    child: Option<Child>,
    /// When this agent started or found it.
    seen: Instant,
    /// Not yet a proxy to rely on: ended if nobody waits for it any more.
    kill_on_drop: bool,
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.kill_on_drop {
            self.signal(Signal::KILL);
        }
    }
}

impl Process {
    fn spawn(directory: &Directory, launch: &Launch, threads: u16, next: bool) -> io::Result<Self> {
        let [program, arguments @ ..] = &launch.command[..] else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let log = log(&directory.file(files::PROXY_LOG))?;
        let mut command = Command::new(program);
        command
            .args(arguments)
            .arg("--dir")
            .arg(directory.path())
            .arg("--threads")
            .arg(threads.to_string())
            .args(next.then_some("--next"))
            .current_dir(directory.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        // It lives where the thread does that starts it.
        let mut child = within(launch.namespace.as_ref(), || command.spawn())??;
        // Not yet waited for, so the pid is still the child's, even if it has ended.
        let watch = || -> io::Result<_> {
            let pidfd = watch_process(child.id())?;
            Ok((ProcessId::of(child.id())?, pidfd))
        };
        match watch() {
            Ok((id, pidfd)) => {
                let id = id.unwrap_or(ProcessId { pid: child.id(), start_time: 0 });
                Ok(Self { id, pidfd, child: Some(child), seen: Instant::now(), kill_on_drop: true })
            }
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(error)
            }
        }
    }

    /// `None` = it runs no more.
    fn adopt(id: ProcessId) -> io::Result<Option<Self>> {
        let pidfd = match watch_process(id.pid) {
            Ok(pidfd) => pidfd,
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()) => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        // Looked at after the descriptor is open: now it is certain whom the descriptor means.
        Ok(id.is_alive()?.then(|| Self { id, pidfd, child: None, seen: Instant::now(), kill_on_drop: false }))
    }

    /// Waits for the end. May be dropped and called again at any time.
    async fn ended(&self) {
        if let Err(error) = self.pidfd.readable().await {
            tracing::error!(%error, pid = self.id.pid, "the proxy cannot be waited for");
        }
    }

    fn has_ended(&self) -> bool {
        let mut poll = [rustix::event::PollFd::new(&self.pidfd, rustix::event::PollFlags::IN)];
        rustix::event::poll(&mut poll, Some(&rustix::time::Timespec::default())).is_ok_and(|ready| ready > 0)
    }

    fn signal(&self, signal: Signal) {
        if let Err(error) = pidfd_send_signal(&self.pidfd, signal)
            && error != rustix::io::Errno::SRCH
        {
            tracing::error!(%error, pid = self.id.pid, "the proxy cannot be signalled");
        }
    }

    async fn kill(mut self) {
        self.signal(Signal::KILL);
        self.ended().await;
        self.reap();
    }

    /// How an ended process ended.
    fn reap(&mut self) -> String {
        match &mut self.child {
            // Perhaps a child still, of what this process was before.
            None => match rustix::process::waitid(WaitId::PidFd(self.pidfd.as_fd()), WaitIdOptions::EXITED) {
                Ok(Some(status)) => match (status.exit_status(), status.terminating_signal()) {
                    (Some(code), _) => format!("exit status: {code}"),
                    (None, signal) => format!("signal: {}", signal.unwrap_or_default()),
                },
                _ => "unknown status: an earlier agent had started it".to_owned(),
            },
            Some(child) => match child.wait() {
                Ok(status) => status.to_string(),
                Err(error) => error.to_string(),
            },
        }
    }
}

/// Where a new proxy writes its log: nowhere, if there is no place for it, for the proxy is worth more.
fn log(path: &Path) -> io::Result<File> {
    keep_short(path);
    let open = OpenOptions::new().create(true).append(true).mode(0o600).open(path);
    open.or_else(|error| {
        tracing::error!(%error, path = %path.display(), "the proxy runs without a log");
        OpenOptions::new().write(true).open("/dev/null")
    })
}

/// One old log is kept. The writer appends, so cutting the log under it is safe.
fn keep_short(log: &Path) {
    let cut = || -> io::Result<()> {
        if std::fs::metadata(log)?.len() > LOG_MAX {
            // Whether or not there is space for a copy, the log has to become short.
            let copied = std::fs::copy(log, log.with_extension("log.1"));
            OpenOptions::new().write(true).open(log)?.set_len(0)?;
            copied?;
        }
        Ok(())
    };
    if let Err(error) = cut()
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(%error, log = %log.display(), "the log was not kept");
    }
}

/// Ever longer pauses between looks at what will be there in milliseconds.
#[derive(Debug)]
struct Pause(Duration);

impl Default for Pause {
    fn default() -> Self {
        Self(Duration::from_millis(1))
    }
}

impl Pause {
    async fn wait(&mut self) {
        tokio::time::sleep(self.0).await;
        self.0 = (self.0 * 2).min(Duration::from_millis(20));
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_log_is_cut_under_its_writer() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(files::PROXY_LOG);
        let mut writer = log(&path).unwrap();
        let line = [b'x'; 1 << 20];
        for megabytes in 1..20 {
            writer.write_all(&line).unwrap();
            keep_short(&path);
            assert!(std::fs::metadata(&path).unwrap().len() <= LOG_MAX, "{megabytes}");
        }
        assert!(std::fs::metadata(path.with_extension("log.1")).unwrap().len() <= LOG_MAX + (1 << 20));
    }

    #[test]
    fn without_a_place_for_a_log_there_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(files::PROXY_LOG);
        std::fs::create_dir(&path).unwrap();
        log(&path).unwrap().write_all(b"lost").unwrap();
    }
}
