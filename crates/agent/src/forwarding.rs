//! Listeners of UDP and SCTP where an amphora has interfaces of its own: the kernel brings their packets to members, and
//! back, by rules (nf_tables) that are made here.
//!
//! Which rules there shall be follows from the spec and from what the proxy's checks say of members ([`rules`], pure); what
//! differs from the rules before is changed, at once and as a whole ([`script`], pure). A *flow*, what one client's address and port
//! exchange with a member, is not touched by that: the kernel knows it by its connection tracking. Flows that the
//! spec has no place for any more, and those to members that are down, are looked for and ended ([`flow`], pure).

mod flow;
mod kernel;
mod marks;
mod netfilter;
mod nft;
mod rules;
mod script;
mod share;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::Duration;

use octavia_model::{ListenerId, MemberId, ReasonCode};
use octavia_wire::{AmphoraSpec, ListenerFault, ListenerReport};
use tokio::time::Instant;
use uuid::Uuid;

use self::flow::{Fate, Places, reports};
use self::kernel::Kernel;
use self::rules::{Rules, rules};
use self::script::{listed, names, script};
use crate::namespace::Namespace;

/// How old what is told of flows may be: with many of them it takes time to look at all.
const AGE: Duration = Duration::from_secs(1);

/// What the kernel forwards in a traffic namespace.
#[derive(Debug)]
pub(crate) struct Forwarding {
    namespace: Namespace,
    kernel: Kernel,
    /// The rules that were made last, and the kernel's number of that state; `None` = what there is is not known.
    made: Option<(Rules, Option<u32>)>,
    fault: Option<String>,
    /// How many flows there were of each listener, and when that was.
    flows: Option<(Instant, BTreeMap<ListenerId, u64>)>,
}

impl Forwarding {
    pub(crate) fn open(namespace: &Namespace) -> io::Result<Self> {
        let kernel = namespace.within(Kernel::open)??;
        Ok(Self { namespace: namespace.clone(), kernel, made: None, fault: None, flows: None })
    }

    /// Whether the spec, or what was made before, gives it something to do.
    pub(crate) fn concerns(&self, spec: &AmphoraSpec) -> bool {
        let idle = self.made.as_ref().is_some_and(|(rules, _)| *rules == Rules::default());
        !idle || spec.forwarded().next().is_some()
    }

    /// Makes the rules those of a spec when these members are down, also where others have changed them. What cannot be done is
    /// a fault, and tried again with the next call; whether it is another than before.
    pub(crate) async fn follow(&mut self, spec: &AmphoraSpec, down: &BTreeSet<MemberId>, boot: Uuid) -> bool {
        let fault = match self.make(rules(spec, down, boot)).await {
            Ok(false) => None,
            Ok(true) => {
                // What the rules sent elsewhere before is not sent there any more.
                self.flows = None;
                if let Err(error) = self.flows(&Places::of(spec, down)) {
                    tracing::warn!(%error, "flows that should end may go on");
                }
                None
            }
            Err(error) => Some(error.to_string()),
        };
        if fault == self.fault {
            return false;
        }
        match &fault {
            Some(error) => tracing::error!(error, "packets cannot be forwarded as they should be"),
            None => tracing::info!("packets are forwarded as they should be"),
        }
        self.fault = fault;
        true
    }

    /// Whether something was to be changed.
    async fn make(&mut self, wanted: Rules) -> io::Result<bool> {
        let generation = self.kernel.generation()?;
        let known = self.made.take().filter(|(_, made)| *made == generation).map(|(rules, _)| rules);
        if known.as_ref() == Some(&wanted) {
            self.made = Some((wanted, generation));
            return Ok(false);
        }
        let idle = wanted == Rules::default();
        let there = match &known {
            Some(known) => names(known),
            // Where nothing is forwarded nor was, there need be nothing to do it with.
            None if idle && self.kernel.counters()?.is_empty() => BTreeSet::new(),
            None => listed(&nft::list(&self.namespace).await?),
        };
        let script = script(&there, known.as_ref(), &wanted);
        if !script.is_empty() {
            nft::nft(&self.namespace, &script).await?;
            self.switch(!idle)?;
            tracing::info!(chains = wanted.chains.len(), "what is forwarded has changed");
        }
        self.made = Some((wanted, self.kernel.generation()?));
        Ok(!script.is_empty())
    }

    /// Has the namespace forward packets at all, or not.
    fn switch(&self, on: bool) -> io::Result<()> {
        const SETTINGS: [&str; 2] =
            ["/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv6/conf/all/forwarding"];
        let value = if on { "1" } else { "0" };
        // Which namespace's settings they are depends on who opens them.
        self.namespace.within(|| SETTINGS.iter().try_for_each(|setting| std::fs::write(setting, value)))?
    }

    /// How many flows there are of each listener; those that have no place end.
    fn flows(&mut self, places: &Places) -> io::Result<BTreeMap<ListenerId, u64>> {
        if let Some((_, open)) = self.flows.as_ref().filter(|(since, _)| since.elapsed() < AGE) {
            return Ok(open.clone());
        }
        let open = self.sweep(places)?;
        self.flows = Some((Instant::now(), open.clone()));
        Ok(open)
    }

    fn sweep(&mut self, places: &Places) -> io::Result<BTreeMap<ListenerId, u64>> {
        let (mut open, mut ending) = (BTreeMap::new(), vec![]);
        self.kernel.flows(|flow| match places.judge(flow) {
            Fate::GoesOn(listener) => *open.entry(listener).or_default() += 1,
            Fate::Ends => ending.push((flow.vip.is_ipv6(), flow.tuple.to_vec())),
        })?;
        if !ending.is_empty() {
            tracing::info!(
                flows = ending.len(),
                "flows end: the spec has no place for them, or their member is down"
            );
        }
        for (v6, tuple) in ending {
            self.kernel.forget(v6, &tuple)?;
        }
        Ok(open)
    }

    /// How it goes with the listeners whose packets are forwarded; none of them if that cannot be.
    pub(crate) fn reports(
        &mut self,
        spec: &AmphoraSpec,
        down: &BTreeSet<MemberId>,
        boot: Uuid,
    ) -> BTreeMap<ListenerId, ListenerReport> {
        if self.fault.is_some() || spec.forwarded().next().is_none() {
            return BTreeMap::new();
        }
        let counted =
            self.kernel.counters().and_then(|counted| Ok((counted, self.flows(&Places::of(spec, down))?)));
        match counted {
            Ok((counted, open)) => reports(spec, boot, &counted, &open),
            Err(error) => {
                tracing::warn!(%error, "what was forwarded cannot be counted");
                BTreeMap::new()
            }
        }
    }

    /// One for each listener and VIP whose packets are not forwarded.
    pub(crate) fn faults(&self, spec: &AmphoraSpec) -> Vec<ListenerFault> {
        let Some(error) = &self.fault else { return vec![] };
        let of = |listener: ListenerId, address| {
            ListenerFault {
            listener,
            address,
            code: ReasonCode::NotForwarded,
            text: format!("the kernel does not forward its packets as it should: {error}"),
            advice: "The image of the amphora needs the program nft (nftables) and a kernel with nf_tables; it is tried again \
                     by itself."
                .to_owned(),
        }
        };
        let listeners = spec.forwarded().map(|listener| listener.id);
        listeners.flat_map(|listener| spec.vips.iter().map(move |vip| of(listener, *vip))).collect()
    }

    /// Nobody is to be served any more.
    pub(crate) async fn withdraw(&mut self) {
        if let Err(error) = self.make(Rules::default()).await {
            tracing::error!(%error, "packets may be forwarded still");
        }
    }
}
