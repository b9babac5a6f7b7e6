//! The one task that owns the amphora's state: the spec, the sockets, the proxy. Everything that happens (a push, the
//! end of the proxy, a timer) comes to it one after the other, so each sees a whole state.

mod fault;
mod forward;
mod papers;
mod plumbing;
mod router;
mod sharing;
mod takeover;
mod tickets;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use octavia_wire::{
    AgentFault, AgentInfo, AmphoraSpec, ApplyOutcome, BootConfig, ListenerFault, ProxyReport, TakeoverReport,
    WIRE_VERSION,
};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tracing::Instrument as _;
use uuid::Uuid;

use self::fault::ApplyError;
use self::plumbing::Plumber;
use self::takeover::Successor;
use crate::accept::{Present, Verdict, judge};
use crate::directory::Directory;
use crate::forwarding::Forwarding;
use crate::heartbeat::{Pace, Sender, compose};
use crate::link::LinkError;
use crate::logs::{self, Logs, Opened};
use crate::predecessors::Predecessors;
use crate::proxy::{Configured, Launch, Proxy, ProxyError};
use crate::renewal::{self, RenewalError};
use crate::request_ids::RequestIds;
use crate::respawn::Respawn;
use crate::rest::{self, Question};
use crate::sharing::Sharing;
use crate::socket::Sockets;
use crate::spec_file::SpecFile;
use crate::sys::{allow_renewal, give_back_clean_pages};
use crate::tls::Tls;
use crate::{AgentError, AgentOptions};

/// How often what could not be done is tried again.
const RETRY: Duration = Duration::from_secs(5);
/// How long connections may go on when the amphora is ended.
const STOP_GRACE: Duration = Duration::from_secs(1);
/// How long what controllers have asked may take before the agent renews itself.
const LAST_QUESTIONS: Duration = Duration::from_secs(5);
/// After so long without a question, memory that answering took is given back.
const QUIET: Duration = Duration::from_secs(1);
/// A living proxy whose line breaks more often than that, and nothing useful comes over it in between, is replaced.
const MAX_BREAKS: u32 = 3;
/// Questions of controllers waiting; more wait in their connections.
const QUESTIONS: usize = 16;

/// `inherited` = the listening socket of the API, of an agent that goes on as this one.
pub(crate) async fn run(options: AgentOptions, inherited: Option<OwnedFd>) -> Result<(), AgentError> {
    if options.proxy_command.is_empty() {
        return Err(AgentError::NoProxyCommand);
    }
    let renewed = inherited.is_some();
    let directory = Directory::take(&options.dir)?;
    let boot = directory.boot_config()?;
    let tls = Tls::new(
        directory.file(&boot.server_cert),
        directory.file(&boot.client_ca),
        boot.controller_name.clone(),
        boot.amphora_id,
    );
    // Said now rather than to the first controller.
    tls.config()?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut signals =
        Signals { hangup: signal(SignalKind::hangup())?, renew: signal(SignalKind::user_defined2())? };
    allow_renewal()?;
    let listener = match inherited {
        Some(listener) => TcpListener::from(listener),
        None => rest::listen(options.bind)
            .await
            .map_err(|error| AgentError::Bind { address: options.bind, error })?,
    };
    let tls = Arc::new(tls);
    let mut agent = Agent::new(directory, boot, &options, renewed)?;
    tracing::info!(amphora = %agent.boot.amphora_id, address = %options.bind, renewed, "agent started");
    if renewed {
        agent.takeover = Some(TakeoverReport { done: true, text: String::new() });
    }
    loop {
        let (sender, mut questions) = mpsc::channel(QUESTIONS);
        let (close, closing) = watch::channel(());
        let door = tokio::net::TcpListener::from_std(listener.try_clone()?)?;
        tokio::spawn(rest::serve(door, Arc::clone(&tls), sender, closing));
        tokio::select! {
            () = agent.work(&mut questions, &mut signals) => {}
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        }
        // What was asked is answered; who comes now waits for the next agent.
        drop(close);
        agent.renewal = Renewal::LastQuestions;
        tokio::select! {
            _ = tokio::time::timeout(LAST_QUESTIONS, agent.work(&mut questions, &mut signals)) => {}
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        }
        tracing::info!("the agent goes on as the binary that is there now");
        let error = renewal::become_it(&options.agent_command, &OwnedFd::from(listener.try_clone()?));
        agent.renewal = Renewal::None;
        agent.not_renewed(&error);
    }
    tracing::info!("agent ends");
    agent.stop().await;
    Ok(())
}

/// What it is asked for by signal, but to end.
struct Signals {
    /// To look at its access logs.
    hangup: Signal,
    renew: Signal,
}

/// How far the agent is with its own renewal, which comes after that of its proxy.
#[derive(Debug)]
enum Renewal {
    None,
    /// The binary is asked whether it could start.
    Checking(tokio::task::JoinHandle<Result<(), RenewalError>>),
    Due,
    /// Only what is under way is answered.
    LastQuestions,
}

#[derive(Debug)]
struct Agent {
    directory: Directory,
    boot: BootConfig,
    launch: Launch,
    agent_command: Vec<OsString>,
    renewal: Renewal,
    file: SpecFile,
    /// What is on disk and shall be in force.
    spec: Option<AmphoraSpec>,
    /// The one before, while `spec` is taken for the first time.
    before: Option<AmphoraSpec>,
    /// No proxy has taken this very spec yet.
    pending: bool,
    /// For which requests it waits to be taken.
    request_ids: RequestIds,
    sockets: Sockets,
    plumber: Plumber,
    sharing: Sharing,
    /// `None` = the proxy relays all that it can.
    forwarding: Option<Forwarding>,
    logs: Logs,
    faults: Vec<ListenerFault>,
    proxy: Option<Proxy>,
    /// The one that is to take over from it, while it starts.
    successor: Option<Successor>,
    /// One that could not take over, on its way out.
    leaving: Option<tokio::task::JoinHandle<()>>,
    /// Those that it took over from.
    predecessors: Predecessors,
    /// How the last take-over ended.
    takeover: Option<TakeoverReport>,
    /// How often in a row the line to the living proxy broke before what it was needed for was done.
    breaks: u32,
    respawn: Respawn,
    /// When to start a proxy, while there is none.
    start_at: Instant,
    /// When to try again what could not be done, though there is a proxy: ports, and a spec it did not take.
    retry_at: Option<Instant>,
    /// When to look where the paths of the access log lead.
    look_at: Option<Instant>,
    /// When to give back memory, unless a question comes.
    tidy_at: Option<Instant>,
    pace: Pace,
    sender: Sender,
    seq: u64,
}

impl Agent {
    fn new(
        directory: Directory,
        boot: BootConfig,
        options: &AgentOptions,
        renewed: bool,
    ) -> Result<Self, AgentError> {
        let file = SpecFile::new(directory.path());
        let spec = file.load().filter(|spec| {
            let ours = spec.amphora_id == boot.amphora_id;
            if !ours {
                tracing::error!(amphora = %spec.amphora_id, "the stored spec is another amphora's: left alone");
            }
            ours
        });
        let pace = Pace::new(Duration::from_millis(boot.heartbeat_interval_ms.into()));
        let sender = Sender::new(boot.controllers.clone(), boot.heartbeat_key.clone());
        let seq = directory.first_beat();
        let namespace = options.namespace()?;
        let plumber = Plumber::new(namespace.as_ref(), renewed)?;
        let sharing = Sharing::new(namespace.clone());
        let forwarding = namespace.as_ref().map(Forwarding::open).transpose()?;
        Ok(Self {
            directory,
            boot,
            launch: Launch { command: options.proxy_command.clone(), namespace },
            agent_command: options.agent_command.clone(),
            renewal: Renewal::None,
            file,
            spec,
            before: None,
            pending: false,
            request_ids: None,
            sockets: Sockets::default(),
            plumber,
            sharing,
            forwarding,
            logs: Logs::default(),
            faults: vec![],
            proxy: None,
            successor: None,
            leaving: None,
            predecessors: Predecessors::new(options.drain_limit),
            takeover: None,
            breaks: 0,
            respawn: Respawn::default(),
            start_at: Instant::now(),
            retry_at: None,
            look_at: None,
            tidy_at: Some(Instant::now() + QUIET),
            pace,
            sender,
            seq,
        })
    }

    /// Until it is to renew itself, or nobody can ask anything any more; may be dropped at any time, to stop.
    async fn work(&mut self, questions: &mut mpsc::Receiver<Question>, signals: &mut Signals) {
        if self.proxy.is_none() {
            self.revive().await;
        }
        while !matches!(self.renewal, Renewal::Due) {
            self.plumber.judge(self.running() != (0, 0));
            self.sharing.set_serves(self.plumber.vrrp().is_some_and(|vrrp| vrrp.holds));
            let timer = self.next_timer(Instant::now());
            tokio::select! {
                question = questions.recv() => match question {
                    Some(question) => self.answer(question).await,
                    None => return,
                },
                news = Self::proxy_news(&mut self.proxy) => self.proxy_told(news).await,
                Some(()) = signals.hangup.recv() => self.look_at_logs().await,
                Some(()) = signals.renew.recv() => self.take_over(),
                next = Self::successor(&mut self.successor) => self.hand_over(next).await,
                checked = Self::checked(&mut self.renewal) => self.checked_renewal(checked),
                turned = self.plumber.news() => if turned { self.pace.hurry() },
                question = self.sharing.asked() => self.share(question).await,
                () = self.predecessors.ended() => self.settle_predecessors().await,
                () = tokio::time::sleep_until(timer) => self.tick(Instant::now()).await,
            }
        }
    }

    fn running(&self) -> (u64, u64) {
        self.proxy.as_ref().map_or((0, 0), |proxy| proxy.running)
    }

    async fn answer(&mut self, question: Question) {
        // Whoever asked may have gone; what was asked is done all the same.
        match question {
            Question::Push(spec, request_ids, sender) => {
                let (fence, generation) = spec.precedence();
                // By these, all lines of the push are found.
                let span = tracing::info_span!("push", generation, fence, request_ids);
                let work = async {
                    let outcome = self.push(*spec, request_ids).await;
                    if let Err(fault) = &outcome {
                        tracing::warn!(%fault, code = fault.http_code, "a spec was not taken");
                    }
                    outcome
                };
                let _ = sender.send(work.instrument(span).await);
            }
            Question::Info(sender) => {
                let _ = sender.send(self.info());
            }
            Question::Papers(papers, sender) => {
                let _ = sender.send(self.renew_papers(*papers));
            }
        }
        self.tidy_at = Some(Instant::now() + QUIET);
    }

    fn info(&self) -> AgentInfo {
        let (fence, generation) = self.running();
        AgentInfo {
            amphora_id: self.boot.amphora_id,
            api_version: "2.0".to_owned(),
            software_version: env!("CARGO_PKG_VERSION").to_owned(),
            wire_version: WIRE_VERSION,
            boot: self.proxy.as_ref().map(|proxy| proxy.boot),
            fence,
            generation,
            faults: self.faults.clone(),
            interfaces: self.plumber.faults().iter().map(|fault| fault.told.clone()).collect(),
            vrrp: self.plumber.vrrp(),
            refresh_at: self.spec.as_ref().and_then(AmphoraSpec::refresh_at),
            papers: Some(self.boot.papers.clone()),
            takeover: self.takeover.clone(),
            predecessors: u32::try_from(self.predecessors.len()).unwrap_or(u32::MAX),
        }
    }

    async fn push(
        &mut self,
        mut spec: AmphoraSpec,
        request_ids: RequestIds,
    ) -> Result<ApplyOutcome, AgentFault> {
        if let Some(before) = &self.spec {
            spec.keep_identities(before);
        }
        let present = Present {
            amphora_id: self.boot.amphora_id,
            load_balancer_id: self.boot.load_balancer_id,
            spec: self.spec.as_ref(),
            running: self.running(),
            plumbs: self.plumber.is_one(),
        };
        let verdict = judge(&spec, present)?;
        let (fence, generation) = spec.precedence();
        let applied = match verdict {
            Verdict::Take => {
                self.file.store(&spec)?;
                self.before = self.spec.replace(spec);
                self.pending = true;
                self.request_ids = request_ids;
                let applied = self.apply().await;
                let before = self.before.take();
                if applied.as_ref().is_err_and(ApplyError::is_for_good) {
                    let restored = self.file.restore(before.as_ref());
                    // Whatever the disk does: what was refused shall not be tried again.
                    self.spec = before;
                    self.request_ids = None;
                    self.make_true().await;
                    restored?;
                }
                applied
            }
            Verdict::Same => {
                if self.pending {
                    self.request_ids = request_ids.or(self.request_ids.take());
                }
                self.apply().await
            }
        };
        applied?;
        tracing::info!(faults = self.faults.len(), "spec in force");
        Ok(ApplyOutcome { generation, fence, faults: self.faults.clone() })
    }

    /// Makes the spec true: interfaces, sockets, the proxy, what the kernel forwards. A proxy that fails on the way is helped, or replaced, once.
    async fn apply(&mut self) -> Result<(), ApplyError> {
        self.plumber.plumb(self.spec.as_ref());
        for again in [true, false] {
            if self.proxy.is_none() {
                self.start().await.map_err(|error| ApplyError::NoProxy(error.to_string()))?;
            }
            match self.configure().await {
                Err(ApplyError::Link(error)) => {
                    self.mend(&error).await;
                    if !again {
                        self.retry_at = Some(Instant::now() + RETRY);
                        return Err(error.into());
                    }
                }
                Ok(()) => {
                    // Before somebody comes.
                    let forwards = self.forward().await;
                    if self.plumber.serve() || forwards {
                        self.open_sockets()?;
                    }
                    self.sharing.keep(self.spec.as_ref());
                    return Ok(());
                }
                error => return error,
            }
        }
        Ok(())
    }

    /// Has the proxy take the spec. Keys and certificates are looked into there alone: a listener whose own are of no use
    /// goes on with those it had, as if its secrets could not be had, and without any it is closed.
    async fn configure(&mut self) -> Result<(), ApplyError> {
        let mut forgone = false;
        // Those it had may be no better to another proxy.
        let mut keeps = [true, false].into_iter();
        loop {
            let (error, faults) = match self.configure_with().await? {
                Configured::Applied => break,
                Configured::Refused(error, faults) => (error, faults),
            };
            let keep = keeps.next().filter(|_| !faults.is_empty());
            let (Some(spec), Some(keep)) = (&mut self.spec, keep) else {
                return Err(ApplyError::Refused(error));
            };
            spec.forgo_identities(&faults);
            if let Some(before) = self.before.as_ref().filter(|_| keep) {
                spec.keep_identities(before);
            }
            self.pending = true;
            forgone = true;
        }
        if let Some(spec) = self.spec.as_ref().filter(|_| forgone)
            && let Err(error) = self.file.store(spec)
        {
            tracing::warn!(%error, "what was forgone stays stored: it comes to the same at the next start");
        }
        Ok(())
    }

    /// Opens what the spec wants and tells the living proxy, unless it is all there already.
    async fn configure_with(&mut self) -> Result<Configured, ApplyError> {
        let wanted = self.open_sockets()?;
        let logs = self.open_logs();
        let Some(proxy) = &mut self.proxy else { return Ok(Configured::Applied) };
        let Some(spec) = &self.spec else {
            // The spec was lost; the proxy goes on with what it has.
            self.sockets.retain(&proxy.held);
            return Ok(Configured::Applied);
        };
        let open: BTreeSet<_> = wanted.into_iter().filter(|name| self.sockets.get(name).is_some()).collect();
        let same = proxy.running == spec.precedence() && proxy.held == open && !self.pending;
        if same && logs.is_empty() {
            return Ok(Configured::Applied);
        }
        let keep = proxy.held.intersection(&open).copied().collect();
        let new = open.difference(&proxy.held);
        let new = new.filter_map(|name| Some((*name, Arc::clone(self.sockets.get(name)?)))).collect();
        let configured = proxy.configure(spec, new, keep, &logs, self.request_ids.as_ref()).await?;
        self.breaks = 0;
        if matches!(configured, Configured::Applied) {
            self.sockets.retain(&open);
            self.logs.told(logs);
            self.pending = false;
            self.request_ids = None;
            self.pace.hurry();
            self.predecessors.configure(&self.directory, spec).await;
        }
        Ok(configured)
    }

    /// Opens what the spec's access log is written to and the proxy does not have.
    fn open_logs(&mut self) -> Opened {
        self.look_at = Logs::is_wanted(self.spec.as_ref()).then(|| Instant::now() + logs::LOOK);
        match (&self.spec, &self.proxy) {
            (Some(spec), Some(proxy)) if proxy.takes_logs => self.logs.open(spec, self.directory.path()),
            _ => Opened::default(),
        }
    }

    /// Paths may lead elsewhere than when they were opened.
    async fn look_at_logs(&mut self) {
        self.look_at = Logs::is_wanted(self.spec.as_ref()).then(|| Instant::now() + logs::LOOK);
        if let (Some(spec), Some(_)) = (&self.spec, &self.proxy)
            && self.logs.is_behind(spec, self.directory.path())
        {
            self.make_true().await;
        }
    }

    /// Finds the proxy that lives, or starts one, and makes the spec true; failing that, it is tried again later.
    async fn revive(&mut self) {
        match Proxy::find(&self.directory).await {
            Ok(Some((proxy, sockets))) => {
                tracing::info!(pid = proxy.pid(), boot = %proxy.boot, running = ?proxy.running, "proxy found");
                self.sockets.adopt(sockets);
                self.logs.forget();
                if self.spec.as_ref().is_some_and(|spec| spec.precedence() < proxy.running) {
                    tracing::error!("the stored spec is older than what the proxy runs: not applied");
                    self.spec = None;
                }
                // Somebody may have died in the middle of a take-over.
                if let Err(error) = proxy.write_pid(&self.directory) {
                    tracing::warn!(%error, "the pid file may name another");
                }
                self.proxy = Some(proxy);
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "the proxy that was found is of no use"),
        }
        self.predecessors.find(&self.directory, self.proxy.as_ref().map(Proxy::pid)).await;
        self.make_true().await;
        self.settle_predecessors().await;
    }

    async fn start(&mut self) -> Result<(), ProxyError> {
        let threads = self.boot.proxy_threads;
        match Proxy::start(&self.directory, &self.launch, threads).await {
            Ok((proxy, sockets)) => {
                tracing::info!(pid = proxy.pid(), boot = %proxy.boot, "proxy started");
                self.sockets.adopt(sockets);
                self.logs.forget();
                self.sharing.forget();
                self.proxy = Some(proxy);
                self.pace.hurry();
                Ok(())
            }
            Err(error) => {
                let pause = self.respawn.pause_after(Duration::ZERO).max(Duration::from_millis(100));
                tracing::error!(%error, ?pause, "no proxy");
                self.start_at = Instant::now() + pause;
                self.pace.hurry();
                Err(error)
            }
        }
    }

    /// Waits for news of the proxy; for ever while there is none.
    async fn proxy_news(proxy: &mut Option<Proxy>) -> Result<(), LinkError> {
        match proxy {
            Some(proxy) => proxy.changed().await,
            None => std::future::pending().await,
        }
    }

    async fn proxy_told(&mut self, news: Result<(), LinkError>) {
        match news {
            Ok(()) => self.pace.hurry(),
            Err(error) => {
                self.mend(&error).await;
                if self.proxy.is_some() || self.start_at <= Instant::now() {
                    self.make_true().await;
                }
            }
        }
    }

    /// After trouble on the line: a living proxy gets a new one, for to end it would cut every connection it carries.
    /// One that is silent, or whose lines break again and again, is ended.
    async fn mend(&mut self, trouble: &LinkError) {
        let Some(proxy) = &mut self.proxy else { return };
        self.breaks += 1;
        if !matches!(trouble, LinkError::Silent) && !proxy.has_ended() && self.breaks <= MAX_BREAKS {
            match proxy.reconnect(&self.directory).await {
                Ok(sockets) => {
                    tracing::warn!(pid = proxy.pid(), running = ?proxy.running, reason = %trouble, "a new line to the proxy");
                    self.sockets.adopt(sockets);
                    self.pace.hurry();
                    return;
                }
                Err(error) => tracing::warn!(pid = proxy.pid(), %error, "no new line to the proxy"),
            }
        }
        self.proxy_ended(trouble).await;
    }

    /// Without its proxy: connections wait in the listening sockets, which stay open here.
    async fn proxy_ended(&mut self, error: &LinkError) {
        let Some(proxy) = self.proxy.take() else { return };
        let pid = proxy.pid();
        let (status, lived) = proxy.end().await;
        let pause = self.respawn.pause_after(lived);
        self.breaks = 0;
        tracing::error!(pid, status, ?lived, ?pause, reason = %error, "the proxy ended");
        self.start_at = Instant::now() + pause;
        self.pace.hurry();
    }

    /// What cannot be done now is tried again later.
    async fn make_true(&mut self) {
        if let Err(error) = self.apply().await {
            tracing::error!(%error, "the spec is not in force");
        }
    }

    fn next_timer(&self, now: Instant) -> Instant {
        let due = if self.proxy.is_none() { Some(self.start_at) } else { self.retry_at };
        [due, self.look_at, self.tidy_at, self.plumber.due()]
            .into_iter()
            .flatten()
            .fold(self.pace.due(now), Instant::min)
    }

    async fn tick(&mut self, now: Instant) {
        let due = if self.proxy.is_none() { Some(self.start_at) } else { self.retry_at };
        if due.is_some_and(|due| due <= now) {
            self.retry_at = None;
            self.make_true().await;
        }
        if self.plumber.due().is_some_and(|due| due <= now) && self.plumber.look() {
            self.make_true().await;
        }
        if self.look_at.is_some_and(|look| look <= now) {
            self.look_at_logs().await;
        }
        if self.pace.due(now) <= now {
            self.beat().await;
        }
        if self.tidy_at.is_some_and(|tidy| tidy <= now) {
            self.tidy_at = None;
            if let Err(error) = give_back_clean_pages() {
                tracing::debug!(%error, "memory that is not needed stays");
            }
        }
    }

    /// What the proxy says of itself; `None` = there is none.
    async fn report(&mut self) -> Option<(Uuid, ProxyReport)> {
        loop {
            let proxy = self.proxy.as_mut()?;
            match proxy.report().await {
                Ok(report) => {
                    let report = (proxy.boot, report);
                    // While it owes us a spec, that is what counts.
                    if !self.pending {
                        self.breaks = 0;
                    }
                    return Some(report);
                }
                Err(error) => {
                    self.mend(&error).await;
                    // It may not run what we thought.
                    self.retry_at = Some(Instant::now());
                }
            }
        }
    }

    async fn beat(&mut self) {
        self.settle_predecessors().await;
        self.turn_tickets();
        let mut report = self.report().await;
        if let Some((boot, report)) = &mut report
            && self.follow(*boot, report).await
            && let Err(error) = self.open_sockets()
        {
            tracing::error!(%error, "faults may be others than are told");
        }
        Proxy::trim_log(&self.directory);
        let beat = compose(
            self.boot.amphora_id,
            self.seq,
            self.spec.as_ref(),
            report,
            &self.faults,
            self.plumber.part(),
        );
        self.seq += 1;
        self.sender.send(&beat);
        self.pace.beaten(Instant::now());
    }

    async fn stop(mut self) {
        if let Some(successor) = self.successor {
            successor.abort();
        }
        self.plumber.hand_over().await;
        let predecessors = tokio::spawn(self.predecessors.stop(self.directory.clone(), STOP_GRACE));
        match self.proxy {
            Some(proxy) => proxy.stop(STOP_GRACE).await,
            None => {
                if let Err(error) = Proxy::end_stray(&self.directory).await {
                    tracing::error!(%error, "a proxy may be left");
                }
            }
        }
        let _ = predecessors.await;
        // Nobody serves there any more.
        self.plumber.withdraw();
        if let Some(forwarding) = &mut self.forwarding {
            forwarding.withdraw().await;
        }
        self.directory.leave();
    }
}
