//! What `nft` is told in a traffic namespace: which packets go to which members; pure.
//!
//! All is in one table of the family `inet`. A new flow meets `arriving`, the chain of its listener, which chooses a member
//! and leaves its number as the packet's mark, and the chain of the listener's members, which notes the number as the flow's
//! mark and rewrites the destination. Later packets meet none of them: the kernel's connection tracking has the flow. So rules
//! can be changed at any time, and whatever is under way stays where it is.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::IpAddr;

use ipnet::IpNet;
use octavia_model::{Algorithm, MemberId};
use octavia_wire::{AmphoraSpec, ListenerSpec, MemberSpec, PersistenceSpec, PoolSpec};
use uuid::Uuid;

use super::marks::{Marks, bits};
use super::share::{Run, SLOTS, Share, round, slots};

/// The table's name.
pub(super) const TABLE: &str = "octavia";
/// Seconds of silence after which the kernel forgets a flow of UDP: IPVS's.
const UDP_SILENCE: u32 = 300;
/// Clients that a pool remembers, of each family; who comes later is not remembered until others are forgotten.
const CLIENTS_MAX: u32 = 65_536;
/// Clients' addresses are hashed with it: the same on every amphora.
const SEED: &str = "0x6f637461";

/// Something of the table that has a name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name {
    pub(super) kind: Kind,
    pub(super) name: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Chain,
    Counter,
    Map,
    Set,
    Timeout,
}

impl Kind {
    pub(super) const ALL: [Self; 5] = [Self::Chain, Self::Counter, Self::Map, Self::Set, Self::Timeout];

    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Chain => "chain",
            Self::Counter => "counter",
            Self::Map => "map",
            Self::Set => "set",
            Self::Timeout => "ct timeout",
        }
    }
}

/// The table as it shall be. What has a state has a name that says what it was made for: what stays the same goes on, and
/// what shall be another is made anew.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Rules {
    /// All but chains, each with what it is declared as.
    pub(super) objects: BTreeMap<Name, String>,
    pub(super) chains: BTreeMap<String, Chain>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Chain {
    /// What it is declared as; empty = it is met only from others.
    pub(super) declared: &'static str,
    pub(super) rules: Vec<String>,
}

/// An address family, with its words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    V4,
    V6,
}

impl Family {
    const ALL: [Self; 2] = [Self::V4, Self::V6];

    fn has(self, address: &IpAddr) -> bool {
        address.is_ipv4() == (self == Self::V4)
    }

    const fn word(self) -> &'static str {
        match self {
            Self::V4 => "ip",
            Self::V6 => "ip6",
        }
    }

    const fn type_word(self) -> &'static str {
        match self {
            Self::V4 => "ipv4_addr",
            Self::V6 => "ipv6_addr",
        }
    }
}

/// What is counted of a listener: packets from clients and to them, and new flows. Counters begin with a boot of the proxy, as
/// everything that is told with them.
pub(super) const COUNTERS: [&str; 3] = ["in", "out", "new"];

pub(super) fn counter(what: &str, listener: &ListenerSpec, boot: Uuid) -> String {
    format!("{what}-{}-{:08x}", listener.id, boot.as_fields().0)
}

/// The word of a transport, to nft and to people.
pub(super) fn protocol(listener: &ListenerSpec) -> &'static str {
    if listener.protocol.transport() == octavia_model::Transport::Sctp { "sctp" } else { "udp" }
}

/// The pool that a listener leads to.
pub(super) fn pool<'a>(spec: &'a AmphoraSpec, listener: &ListenerSpec) -> Option<&'a PoolSpec> {
    let id = listener.default_pool?;
    spec.pools.iter().find(|pool| pool.id == id)
}

/// The rules of a spec when these members are down. Nothing to forward = an empty table.
pub(super) fn rules(spec: &AmphoraSpec, down: &BTreeSet<MemberId>, boot: Uuid) -> Rules {
    let mut rules = Rules::default();
    if spec.forwarded().next().is_none() {
        return rules;
    }
    let marks = Marks::of(spec);
    rules.frame(spec, boot);
    for listener in spec.forwarded() {
        for what in COUNTERS {
            rules.object(Kind::Counter, counter(what, listener, boot), "");
        }
        for family in Family::ALL {
            if spec.vips.iter().any(|vip| family.has(vip)) {
                let of = Of { spec, listener, family, down, marks: &marks, boot };
                rules.listener(&of);
            }
        }
    }
    rules
}

/// One listener on the VIPs of one family.
struct Of<'a> {
    spec: &'a AmphoraSpec,
    listener: &'a ListenerSpec,
    family: Family,
    down: &'a BTreeSet<MemberId>,
    marks: &'a Marks,
    boot: Uuid,
}

impl Of<'_> {
    fn chain(&self, what: &str) -> String {
        format!("{what}-{}-{}", self.listener.id, self.family.word())
    }

    /// Members that may have flows: whatever their weight, as with the proxy a client comes back to one that is drained.
    fn well(&self) -> Vec<&MemberSpec> {
        let pool = pool(self.spec, self.listener);
        let members = pool.into_iter().flat_map(|pool| &pool.members);
        let well = |member: &&MemberSpec| member.enabled && !self.down.contains(&member.id);
        members.filter(well).filter(|member| self.family.has(&member.address)).collect()
    }

    /// Those of them that new flows are dealt to: backups only if there are no others.
    fn shares(&self) -> Vec<Share> {
        let mut members = self.well();
        members.retain(|member| member.weight > 0);
        let regular = members.iter().any(|member| !member.backup);
        members.retain(|member| member.backup != regular);
        let share = |member: &&MemberSpec| Share {
            mark: self.marks.mark(member.id),
            weight: member.weight,
            identity: bits(member.id),
        };
        members.iter().map(share).collect()
    }

    /// Chooses a member for a new flow; `None` = there is nobody to choose.
    fn choice(&self) -> Option<String> {
        let shares = self.shares();
        if let [only] = &shares[..] {
            return Some(format!("{:#010x}", only.mark));
        }
        let (number, runs) = match pool(self.spec, self.listener)?.algorithm {
            // Of how much a member has to do rules know nothing.
            Algorithm::RoundRobin | Algorithm::LeastConnections => {
                let runs = round(&shares);
                let total: u32 = runs.iter().map(|(length, _)| length).sum();
                (format!("numgen inc mod {total}"), runs)
            }
            Algorithm::SourceIp => (self.hash(""), slots(&shares)),
            Algorithm::SourceIpPort => (self.hash(" . th sport"), slots(&shares)),
        };
        (!runs.is_empty()).then(|| format!("{number} map {{ {} }}", ranges(&runs)))
    }

    fn hash(&self, more: &str) -> String {
        format!("jhash {} saddr{more} mod {SLOTS} seed {SEED}", self.family.word())
    }
}

/// Numbers from 0 on, and the marks they stand for.
fn ranges(runs: &[Run]) -> String {
    let mut next = 0;
    let mut text = String::new();
    for (length, mark) in runs {
        let separator = if text.is_empty() { "" } else { ", " };
        let last = next + length - 1;
        let range = if *length == 1 { next.to_string() } else { format!("{next}-{last}") };
        push(&mut text, format_args!("{separator}{range} : {mark:#010x}"));
        next = last + 1;
    }
    text
}

fn push(text: &mut String, what: std::fmt::Arguments<'_>) {
    // Writing into a text does not fail.
    let _ = text.write_fmt(what);
}

fn list(words: impl IntoIterator<Item = String>) -> String {
    words.into_iter().collect::<Vec<_>>().join(", ")
}

impl Rules {
    fn object(&mut self, kind: Kind, name: String, declared: impl Into<String>) {
        self.objects.insert(Name { kind, name }, declared.into());
    }

    fn chain(&mut self, name: impl Into<String>, declared: &'static str, rules: Vec<String>) {
        self.chains.insert(name.into(), Chain { declared, rules });
    }

    /// What does not depend on members.
    fn frame(&mut self, spec: &AmphoraSpec, boot: Uuid) {
        let (mut arriving, mut left) = (vec![], vec![]);
        for family in Family::ALL {
            let word = family.word();
            let policy = format!("unreplied : {UDP_SILENCE}, replied : {UDP_SILENCE}");
            let declared = format!("protocol udp; l3proto {word}; policy = {{ {policy} }};");
            self.object(Kind::Timeout, format!("udp-{word}"), declared);
            let places = places(spec, family);
            if !places.is_empty() {
                let to = places.iter().map(|(place, of)| format!("{place} : goto listener-{}-{word}", of.id));
                arriving.push(format!("{word} daddr . meta l4proto . th dport vmap {{ {} }}", list(to)));
                let places = list(places.into_iter().map(|(place, _)| place));
                left.push(format!(
                    "{word} daddr . meta l4proto . th dport {{ {places} }} reject with icmpx type port-unreachable"
                ));
            }
        }
        // The proxy's connections need no tracking, and would pay for it. Its checks do: who else has their ports is told apart
        // by it.
        let proxied = vec!["meta l4proto tcp notrack".to_owned()];
        self.chain("unknown", "type filter hook prerouting priority raw; policy accept;", proxied.clone());
        self.chain("own", "type filter hook output priority raw; policy accept;", proxied);
        self.chain("arriving", "type nat hook prerouting priority dstnat; policy accept;", arriving);
        // Whom no member serves is told so, as by IPVS.
        self.chain("left", "type filter hook input priority filter; policy accept;", left);
        // The namespace forwards, but what belongs to no flow of ours.
        let known = vec!["ct status dnat goto known".to_owned()];
        self.chain("forward", "type filter hook forward priority filter; policy drop;", known);
        self.chain("known", "", counted(spec, boot));
        // Members answer the amphora, as with IPVS behind the original's rules.
        let masked = vec!["ct status dnat masquerade".to_owned()];
        self.chain("leaving", "type nat hook postrouting priority srcnat; policy accept;", masked);
        // A neighbour of both would be told the way around.
        let redirects = ["icmp type redirect drop", "icmpv6 type nd-redirect drop"].map(str::to_owned);
        self.chain("told", "type filter hook output priority filter; policy accept;", redirects.to_vec());
    }

    fn listener(&mut self, of: &Of<'_>) {
        let Of { listener, family, .. } = of;
        let mut rules: Vec<_> = admission(*family, &listener.allowed_cidrs).into_iter().collect();
        if protocol(listener) == "udp" {
            rules.push(format!("ct timeout set \"udp-{}\"", family.word()));
        }
        if let Some(limit) = listener.connection_limit {
            let name = format!("limit-{}-{limit}", listener.id);
            rules.push(format!("add @{name} {{ th dport ct count over {limit} }} drop"));
            self.object(Kind::Set, name, "type inet_service; size 16; flags dynamic;");
        }
        rules.push("meta mark set 0".to_owned());
        let members = of.chain("members");
        let choice = of.choice();
        if let Some((name, key)) = self.stick(of) {
            // One that is not there any more is forgotten, for what a client has cannot be changed.
            rules.push(format!("meta mark set {key} map @{name}"));
            rules.push(format!("meta mark != 0 update @{name} {{ {key} : meta mark }}"));
            rules.push(format!("jump {members}"));
            if let Some(choice) = choice {
                rules.push(format!("delete @{name} {{ {key} : meta mark }}"));
                rules.push(format!("meta mark set {choice}"));
                rules.push(format!("update @{name} {{ {key} : meta mark }}"));
                rules.push(format!("goto {members}"));
            }
        } else if let Some(choice) = choice {
            rules.push(format!("meta mark set {choice}"));
            rules.push(format!("goto {members}"));
        }
        self.chain(of.chain("listener"), "", rules);
        self.members(of, members);
    }

    /// Where clients are remembered, and what they are known by.
    fn stick(&mut self, of: &Of<'_>) -> Option<(String, String)> {
        let pool = pool(of.spec, of.listener)?;
        let Some(PersistenceSpec::SourceIp { granularity, timeout }) = &pool.persistence else { return None };
        let (word, width) = (of.family.word(), if of.family == Family::V4 { 32 } else { 128 });
        let whole = u128::MAX >> (128 - width);
        let mask = granularity.filter(|mask| of.family.has(mask)).filter(|mask| number(mask) != whole);
        let name =
            format!("stick-{}-{word}-{timeout}-{:x}", pool.id, mask.map_or(whole, |mask| number(&mask)));
        let mut declared = format!("type {} : mark; size {CLIENTS_MAX}; ", of.family.type_word());
        match timeout {
            0 => declared.push_str("flags dynamic;"),
            seconds => push(&mut declared, format_args!("flags dynamic,timeout; timeout {seconds}s;")),
        }
        self.object(Kind::Map, name.clone(), declared);
        let key = mask.map_or_else(|| format!("{word} saddr"), |mask| format!("{word} saddr & {mask}"));
        Some((name, key))
    }

    fn members(&mut self, of: &Of<'_>, name: String) {
        let members = of.well();
        let mut rules = vec![];
        if !members.is_empty() {
            let mark = |member: &&MemberSpec| format!("{:#010x}", of.marks.mark(member.id));
            let place =
                |member: &&MemberSpec| format!("{} : {} . {}", mark(member), member.address, member.port);
            rules.push(format!("meta mark != {{ {} }} return", list(members.iter().map(mark))));
            rules.push("ct mark set meta mark".to_owned());
            rules.push(format!("counter name \"{}\"", counter("new", of.listener, of.boot)));
            rules.push(format!(
                "meta l4proto {} dnat {} to meta mark map {{ {} }}",
                protocol(of.listener),
                of.family.word(),
                list(members.iter().map(place))
            ));
        }
        self.chain(name, "", rules);
    }
}

fn number(mask: &IpAddr) -> u128 {
    match mask {
        IpAddr::V4(v4) => v4.to_bits().into(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// Where packets for listeners come to, and whose they are.
fn places(spec: &AmphoraSpec, family: Family) -> Vec<(String, &ListenerSpec)> {
    let mut places = vec![];
    for listener in spec.forwarded() {
        for vip in spec.vips.iter().filter(|vip| family.has(vip)) {
            places.push((format!("{vip} . {} . {}", protocol(listener), listener.port), listener));
        }
    }
    places
}

/// Counts the packets of flows. A port is one listener's, whichever the VIP.
fn counted(spec: &AmphoraSpec, boot: Uuid) -> Vec<String> {
    let mut rules = vec![];
    for word in ["udp", "sctp"] {
        for (what, direction) in [("in", "original"), ("out", "reply")] {
            let of = spec.forwarded().filter(|listener| protocol(listener) == word);
            let counters = list(of.map(|of| format!("{} : \"{}\"", of.port, counter(what, of, boot))));
            if !counters.is_empty() {
                rules.push(format!(
                    "meta l4proto {word} ct direction {direction} counter name ct original proto-dst map {{ {counters} }}"
                ));
            }
        }
    }
    rules.push("accept".to_owned());
    rules
}

/// Shuts out who is in none of these networks; `None` = everybody may come in.
fn admission(family: Family, allowed: &[IpNet]) -> Option<String> {
    if allowed.is_empty() {
        return None;
    }
    let of: Vec<_> = allowed.iter().filter(|net| family.has(&net.addr())).map(IpNet::trunc).collect();
    let nets = IpNet::aggregate(&of);
    match &nets[..] {
        [] => Some("drop".to_owned()),
        [all] if all.prefix_len() == 0 => None,
        nets => {
            let nets = list(nets.iter().map(ToString::to_string));
            Some(format!("{} saddr != {{ {nets} }} drop", family.word()))
        }
    }
}
