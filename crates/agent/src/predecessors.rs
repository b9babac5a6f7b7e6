//! Proxies that another has taken over from: they bring what they carry to its end, and tell what they count to the one
//! that serves, whose totals are those of all.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use octavia_wire::{AmphoraSpec, Reckoning, files};

use crate::directory::Directory;
use crate::link::LinkError;
use crate::logs::Opened;
use crate::proxy::{Configured, Proxy};

/// Of one amphora at a time: each is a process of its own.
pub(crate) const MOST: usize = 8;

#[derive(Debug)]
pub(crate) struct Predecessors {
    all: Vec<One>,
    /// How long connections may go on that do not end by themselves.
    limit: Duration,
}

#[derive(Debug)]
struct One {
    proxy: Proxy,
    /// It knows that it has stepped aside.
    told: bool,
    /// It knows the newest spec.
    current: bool,
    /// It has ended.
    over: bool,
    /// What it told last of what it counted.
    reckoning: Option<Reckoning>,
}

impl Predecessors {
    pub(crate) fn new(limit: Duration) -> Self {
        Self { all: vec![], limit }
    }

    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    pub(crate) fn limit(&self) -> Duration {
        self.limit
    }

    /// `told` = it knows that it has stepped aside.
    pub(crate) fn push(&mut self, proxy: Proxy, told: bool) {
        self.all.push(One { proxy, told, current: true, over: false, reckoning: None });
    }

    /// Those of an agent before this one; `serving` is none of them.
    pub(crate) async fn find(&mut self, directory: &Directory, serving: Option<u32>) {
        for socket in directory.other_sockets().unwrap_or_default() {
            match Proxy::at(directory, &socket).await {
                Some(proxy) if Some(proxy.pid()) == serving => directory.forget(&socket),
                Some(proxy) => {
                    tracing::info!(pid = proxy.pid(), socket, "a predecessor was found");
                    // Also one that had not come to take over: it may carry connections.
                    self.push(proxy, false);
                }
                // The next that is to take over makes a new one.
                None if socket.ends_with(files::NEXT) => {}
                None => directory.forget(&socket),
            }
        }
    }

    /// Waits until one of them has ended; for ever while there are none.
    pub(crate) async fn ended(&self) {
        poll_fn(|context| {
            let mut running = self.all.iter().filter(|one| !one.over);
            let ended = running.any(|one| one.proxy.poll_ended(context).is_ready());
            if ended { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// Tells them what they have to know, and the one that serves what they have counted. May be dropped at any time, and
    /// nobody is forgotten.
    pub(crate) async fn settle(
        &mut self,
        directory: &Directory,
        spec: Option<&AmphoraSpec>,
        mut serving: Option<&mut Proxy>,
    ) {
        let mut place = 0;
        while let Some(one) = self.all.get_mut(place) {
            one.settle(directory, spec, self.limit).await;
            one.over = one.proxy.has_ended();
            let heard = one.be_heard(serving.as_deref_mut()).await;
            // Last words are kept until they are heard.
            if !one.over || !heard {
                place += 1;
                continue;
            }
            let one = self.all.remove(place);
            let (pid, socket) = (one.proxy.pid(), one.proxy.socket.clone());
            directory.forget(&socket);
            let (status, lived) = one.proxy.end().await;
            tracing::info!(pid, status, ?lived, "a predecessor has ended");
        }
    }

    /// They are to route by this spec, too.
    pub(crate) async fn configure(&mut self, directory: &Directory, spec: &AmphoraSpec) {
        for one in &mut self.all {
            one.current = false;
            one.settle(directory, Some(spec), self.limit).await;
        }
    }

    /// Ends them, and whoever listens beside them without being known.
    pub(crate) async fn stop(self, directory: Directory, grace: Duration) {
        stop_all(self.all.into_iter().map(|one| one.proxy), grace).await;
        let mut strays = vec![];
        for socket in directory.other_sockets().unwrap_or_default() {
            strays.extend(Proxy::at(&directory, &socket).await);
        }
        stop_all(strays.into_iter(), grace).await;
    }
}

async fn stop_all(proxies: impl Iterator<Item = Proxy>, grace: Duration) {
    let stops: Vec<_> = proxies.map(|proxy| tokio::spawn(proxy.stop(grace))).collect();
    for stop in stops {
        let _ = stop.await;
    }
}

impl One {
    /// Whatever is wrong with its line, it may carry connections: it gets another one, unless it hangs.
    async fn settle(&mut self, directory: &Directory, spec: Option<&AmphoraSpec>, limit: Duration) {
        if self.proxy.has_ended() {
            return;
        }
        let Err(error) = self.tell(spec, limit).await else { return };
        if self.proxy.has_ended() {
            return;
        }
        tracing::warn!(pid = self.proxy.pid(), %error, "no word with a predecessor");
        let again = match error {
            LinkError::Silent => Err(error),
            _ => self.proxy.reconnect_once(directory).await.map(drop),
        };
        if let Err(LinkError::Silent) = again {
            tracing::error!(pid = self.proxy.pid(), "a predecessor hangs: killed");
            self.proxy.kill();
        }
    }

    /// Passes on what it has counted; `false` = that has to be done again.
    async fn be_heard(&mut self, serving: Option<&mut Proxy>) -> bool {
        let Some(reckoning) = &mut self.reckoning else { return true };
        let Some(serving) = serving else { return false };
        if self.over {
            reckoning.close();
        }
        let told = serving.credit(self.proxy.life, reckoning.clone(), self.over).await;
        if let Err(error) = &told {
            tracing::warn!(pid = self.proxy.pid(), %error, "what a predecessor has counted is told later");
        }
        told.is_ok()
    }

    async fn tell(&mut self, spec: Option<&AmphoraSpec>, limit: Duration) -> Result<(), LinkError> {
        if !self.told {
            self.proxy.step_aside(limit).await?;
            self.told = true;
        }
        if let Some(spec) = spec.filter(|_| !self.current) {
            let wanted = octavia_wire::SocketName::wanted(spec, self.proxy.threads);
            let keep = wanted.filter(|name| self.proxy.held.contains(name)).collect();
            if let Configured::Refused(error, _) =
                self.proxy.configure(spec, vec![], keep, &Opened::default(), None).await?
            {
                tracing::warn!(pid = self.proxy.pid(), error, "a predecessor goes on as it was");
            }
            self.current = true;
        }
        let (_, reckoning) = self.proxy.reckoning().await?;
        self.reckoning = Some(reckoning);
        Ok(())
    }
}
