//! What would become of a request, and why: the decisions of the engine, told instead of carried out.
//!
//! No traffic, no clock: a spec and a request's head in, the policies that were looked at and the outcome out. What
//! only a running engine knows (whose turn it is, stick tables, what is open) is not guessed.

use std::net::SocketAddr;

use octavia_model::{Algorithm, L7PolicyId, ListenerId, MemberId, PoolId};
use octavia_wire::{AmphoraSpec, SpecError};

use crate::balance::Peer;
use crate::http1::{self, Refusal, Request};
use crate::layer7::{self, Action};
use crate::persistence::Claim;
use crate::snapshot::{ListenerConf, MemberConf, Mode, PoolConf, Snapshot};
use crate::state::{Health, Registry};
use crate::tls::Seen;

/// A new connection to a listener, and the first request over it.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    pub listener: ListenerId,
    pub client: SocketAddr,
    /// The head of a request; where connections are passed on as they are it is not looked at. Over TLS it comes from a
    /// client without a certificate.
    pub head: &'a [u8],
}

#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    /// L7 policies in the order in which they were looked at. The last one takes the request, if one does.
    pub policies: Vec<PolicyVerdict>,
    pub outcome: Outcome,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyVerdict {
    pub policy: L7PolicyId,
    /// Whether each rule holds, inverted ones already turned around. A policy without rules takes nothing.
    pub rules: Vec<bool>,
    pub takes: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The client's address is none the listener admits: closed without a word.
    NotAdmitted,
    Refused(Refusal),
    /// 403, by the last policy.
    Rejected,
    /// By the last policy.
    Redirected {
        code: u16,
        location: Vec<u8>,
    },
    /// 200, with what the load balancer counts; 405 to other methods than GET and HEAD.
    Metrics {
        method: bool,
    },
    /// There is no pool: 503, or closed where connections are passed on as they are.
    NoPool,
    /// Nobody in the pool can take it: as without one.
    NoMember {
        pool: PoolId,
        members: Vec<Candidate>,
    },
    Member {
        pool: PoolId,
        chosen: Choice,
        members: Vec<Candidate>,
    },
}

/// How much is certain of who gets the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// The request claims this member by a cookie.
    Claimed(MemberId),
    /// Nobody else can take it.
    Only(MemberId),
    /// The client's address leads to this member, as long as the pool is as it is.
    Hashed(MemberId),
    /// One of those who can, by turns.
    Turns(Algorithm),
}

/// A member of the pool, and whether it can take the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    pub member: MemberId,
    pub address: SocketAddr,
    pub weight: u16,
    pub standing: Standing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    Ready,
    /// A backup, while others can.
    Backup,
    /// Its weight is 0: only who claims it comes to it.
    Drained,
    Disabled,
    Down,
}

#[derive(Debug, thiserror::Error)]
pub enum ExplainError {
    #[error("the spec is refused: {0}")]
    Spec(#[from] SpecError),
    #[error("the spec has no listener {0} that can be opened")]
    Listener(ListenerId),
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// Asks the engine's own decisions about a request, when the members in `down` fail their checks and the others do not.
pub fn explain(
    spec: &AmphoraSpec,
    down: &[MemberId],
    question: &Question<'_>,
) -> Result<Explanation, ExplainError> {
    let registry = Registry::new(1)?;
    let snapshot = Snapshot::compile(spec, &registry)?;
    for &member in down {
        registry.member(member).set_health(Health::Down);
    }
    let listener = snapshot.listener(question.listener);
    Ok(explained(listener.ok_or(ExplainError::Listener(question.listener))?, question))
}

fn explained(listener: &ListenerConf, question: &Question<'_>) -> Explanation {
    let at_once = |outcome| Explanation { policies: vec![], outcome };
    if !listener.admits(question.client.ip()) {
        return at_once(Outcome::NotAdmitted);
    }
    if matches!(listener.mode, Mode::Tcp | Mode::Udp) {
        return at_once(by_pool(listener.pool_for(None).map(AsRef::as_ref), Claim::None, question));
    }
    let mut slots = http1::header_slots();
    let mut request = match Request::parse(question.head, &mut slots) {
        Ok(Some(request)) => request,
        Ok(None) => return at_once(Outcome::Refused(Refusal::Malformed("the head is not complete"))),
        Err(refusal) => return at_once(Outcome::Refused(refusal)),
    };
    if listener.mode == Mode::Metrics {
        return at_once(Outcome::Metrics { method: request.asks_only() });
    }
    let seen = listener.tls.as_ref().map(|_| Seen::default());
    let policy = layer7::decide(&listener.policies, &request, seen.as_ref());
    let looked_at = policy.map_or(listener.policies.len(), |place| usize::from(place) + 1);
    let policies =
        listener.policies[..looked_at].iter().enumerate().map(|(place, looked_at)| PolicyVerdict {
            policy: looked_at.id,
            rules: looked_at.rules(&request, seen.as_ref()).collect(),
            takes: policy == Some(place as u16),
        });
    let policies = policies.collect();
    let outcome = match policy.map(|place| &listener.policies[usize::from(place)].action) {
        Some(Action::Reject) => Outcome::Rejected,
        Some(Action::Redirect(redirect)) => {
            let mut location = vec![];
            redirect.location(request.target, &mut location);
            Outcome::Redirected { code: redirect.code, location }
        }
        None | Some(Action::Pool(_)) => {
            let persistence = listener.persistence_for(policy);
            let claim = persistence.map_or(Claim::None, |persistence| persistence.claim(&mut request));
            by_pool(listener.pool_for(policy).map(AsRef::as_ref), claim, question)
        }
    };
    Explanation { policies, outcome }
}

fn by_pool(pool: Option<&PoolConf>, claim: Claim, question: &Question<'_>) -> Outcome {
    let Some(pool) = pool else { return Outcome::NoPool };
    let members = candidates(&pool.members);
    let pool_id = pool.id;
    let Some((place, granted)) = pool.pick_for(question.client, claim, &[], 0) else {
        return Outcome::NoMember { pool: pool_id, members };
    };
    let member = pool.members[place].id;
    let ready = members.iter().filter(|candidate| candidate.standing == Standing::Ready).count();
    let chosen = match pool.algorithm {
        _ if granted => Choice::Claimed(member),
        _ if ready == 1 => Choice::Only(member),
        Algorithm::SourceIp | Algorithm::SourceIpPort => Choice::Hashed(member),
        turns @ (Algorithm::RoundRobin | Algorithm::LeastConnections) => Choice::Turns(turns),
    };
    Outcome::Member { pool: pool_id, chosen, members }
}

fn candidates(members: &[MemberConf]) -> Vec<Candidate> {
    let can = |member: &MemberConf| member.weight > 0 && member.is_well();
    let regular = members.iter().any(|member| !member.backup && can(member));
    let standing = |member: &MemberConf| match member.state.health() {
        _ if !member.enabled => Standing::Disabled,
        Health::Down => Standing::Down,
        _ if member.weight == 0 => Standing::Drained,
        _ if member.backup && regular => Standing::Backup,
        _ => Standing::Ready,
    };
    let candidate = |member: &MemberConf| Candidate {
        member: member.id,
        address: member.address,
        weight: member.weight,
        standing: standing(member),
    };
    members.iter().map(candidate).collect()
}

#[cfg(test)]
mod tests {
    use newtype_uuid::{GenericUuid, TypedUuid};
    use octavia_model::{AmphoraId, IdKind, ListenerProtocol, LoadBalancerId, PoolProtocol};
    use octavia_wire::{
        L7ActionSpec, L7PolicySpec, ListenerSpec, MemberSpec, PersistenceSpec, PoolSpec, TimeoutsSpec,
        WIRE_VERSION,
    };

    use super::*;
    use crate::fuzzing::rule;

    fn id<K: IdKind>(n: u128) -> TypedUuid<K> {
        TypedUuid::from_untyped_uuid(uuid::Uuid::from_u128(n))
    }

    /// A member from a word: `1` = member 1; `b` = backup, `0` = weight 0, `x` = disabled.
    fn member(word: &str) -> MemberSpec {
        let n: u128 = word[..1].parse().unwrap();
        MemberSpec {
            id: id(n),
            address: [192, 0, 2, n as u8].into(),
            port: 80,
            weight: if word.contains('0') { 0 } else { 5 },
            backup: word.contains('b'),
            enabled: !word.contains('x'),
            monitor_address: None,
            monitor_port: None,
        }
    }

    fn pool(n: u128, algorithm: Algorithm, persistence: Option<PersistenceSpec>, members: &str) -> PoolSpec {
        PoolSpec {
            id: id(n),
            protocol: PoolProtocol::Http,
            algorithm,
            persistence,
            members: members.split_whitespace().map(member).collect(),
            monitor: None,
            tls: None,
        }
    }

    fn spec(
        policies: &[(L7ActionSpec, &[&str])],
        default_pool: Option<PoolId>,
        pools: Vec<PoolSpec>,
    ) -> AmphoraSpec {
        let policies = (1..).zip(policies).map(|(n, (action, rules))| L7PolicySpec {
            id: id(n),
            action: action.clone(),
            rules: rules.iter().map(|line| rule(line).unwrap()).collect(),
        });
        AmphoraSpec {
            version: WIRE_VERSION,
            amphora_id: AmphoraId::nil(),
            load_balancer_id: LoadBalancerId::nil(),
            generation: 1,
            fence: 1,
            vips: vec![[127, 0, 0, 1].into()],
            listeners: vec![ListenerSpec {
                id: id(1),
                protocol: ListenerProtocol::Http,
                port: 80,
                connection_limit: None,
                default_pool,
                insert_headers: vec![],
                timeouts: TimeoutsSpec { client_data: 0, member_connect: 0, member_data: 0, tcp_inspect: 0 },
                allowed_cidrs: vec!["198.51.100.0/24".parse().unwrap()],
                accept_proxy: vec![],
                l7policies: policies.collect(),
                tls: None,
            }],
            pools,
            access_log: None,
            sorry_pages: vec![],
            network: None,
            tickets: None,
        }
    }

    fn ask(spec: &AmphoraSpec, down: &[u128], client: &str, head: &str) -> Explanation {
        let down: Vec<MemberId> = down.iter().map(|&n| id(n)).collect();
        let client = format!("{client}:1000").parse().unwrap();
        explain(spec, &down, &Question { listener: id(1), client, head: head.as_bytes() }).unwrap()
    }

    const CLIENT: &str = "198.51.100.7";
    const HEAD: &str = "GET /a?b HTTP/1.1\r\nHost: one.test\r\n\r\n";

    #[test]
    fn policies_up_to_the_one_that_takes_it() {
        let prefix = L7ActionSpec::RedirectPrefix { prefix: "https://x".to_owned(), code: 308 };
        let policies: &[(L7ActionSpec, &[&str])] = &[
            (L7ActionSpec::Reject, &["HOST_NAME EQUAL_TO - two.test"]),
            (L7ActionSpec::Reject, &[]),
            (prefix, &["HOST_NAME EQUAL_TO - ONE.test", "!PATH STARTS_WITH - /b"]),
            (L7ActionSpec::Reject, &["PATH STARTS_WITH - /"]),
        ];
        let explanation = ask(&spec(policies, None, vec![]), &[], CLIENT, HEAD);
        let verdict =
            |n, rules: &[bool], takes| PolicyVerdict { policy: id(n), rules: rules.to_vec(), takes };
        assert_eq!(
            explanation.policies,
            [verdict(1, &[false], false), verdict(2, &[], false), verdict(3, &[true, true], true)]
        );
        let location = b"https://x/a?b".to_vec();
        assert_eq!(explanation.outcome, Outcome::Redirected { code: 308, location });
        let other =
            ask(&spec(policies, None, vec![]), &[], CLIENT, "GET / HTTP/1.1\r\nHost: two.test\r\n\r\n");
        assert_eq!((other.outcome, other.policies.len()), (Outcome::Rejected, 1));
    }

    #[test]
    fn what_never_comes_to_a_pool() {
        let spec = spec(&[], None, vec![]);
        assert_eq!(ask(&spec, &[], "203.0.113.1", HEAD).outcome, Outcome::NotAdmitted);
        assert_eq!(ask(&spec, &[], CLIENT, HEAD).outcome, Outcome::NoPool);
        let refused = ask(&spec, &[], CLIENT, "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n").outcome;
        assert_eq!(refused, Outcome::Refused(Refusal::NoConnect));
        let cut = ask(&spec, &[], CLIENT, "GET / HTTP/1.1\r\nHost: a\r\n").outcome;
        assert!(matches!(cut, Outcome::Refused(Refusal::Malformed(_))), "{cut:?}");
        let question = Question { listener: id(9), client: "192.0.2.1:1".parse().unwrap(), head: b"" };
        assert!(matches!(explain(&spec, &[], &question), Err(ExplainError::Listener(_))));
    }

    #[test]
    fn metrics_are_told_to_who_asks() {
        let mut spec = spec(&[], None, vec![]);
        spec.listeners[0].protocol = ListenerProtocol::Prometheus;
        for (method, asks) in [("GET", true), ("HEAD", true), ("POST", false), ("get", false)] {
            let head = format!("{method} /any HTTP/1.1\r\nHost: a\r\n\r\n");
            assert_eq!(ask(&spec, &[], CLIENT, &head).outcome, Outcome::Metrics { method: asks }, "{method}");
        }
    }

    #[test]
    fn who_gets_it() {
        use Algorithm::{LeastConnections, RoundRobin, SourceIp};
        let two: MemberId = id(2);
        let cookie = format!("GET / HTTP/1.1\r\nHost: a\r\nCookie: SRV={two}\r\n\r\n");
        let (only, claimed) = (|n| Some(Choice::Only(id(n))), |n| Some(Choice::Claimed(id(n))));
        for (algorithm, members, down, head, expected) in [
            (RoundRobin, "1 2", &[][..], HEAD, Some(Choice::Turns(RoundRobin))),
            (LeastConnections, "1 2", &[], HEAD, Some(Choice::Turns(LeastConnections))),
            (RoundRobin, "1 2", &[2], HEAD, only(1)),
            (RoundRobin, "1 2b", &[], HEAD, only(1)),
            (RoundRobin, "1 2b", &[1], HEAD, only(2)),
            (RoundRobin, "1 20", &[], HEAD, only(1)),
            (RoundRobin, "1x 2", &[], HEAD, only(2)),
            (RoundRobin, "1 2", &[1, 2], HEAD, None),
            (RoundRobin, "", &[], HEAD, None),
            (RoundRobin, "1 20", &[], &cookie, claimed(2)),
            (RoundRobin, "1 2", &[2], &cookie, only(1)),
        ] {
            let pools = vec![pool(7, algorithm, Some(PersistenceSpec::HttpCookie), members)];
            let outcome = ask(&spec(&[], Some(id(7)), pools), down, CLIENT, head).outcome;
            let chosen = match &outcome {
                Outcome::Member { chosen, .. } => Some(*chosen),
                Outcome::NoMember { .. } => None,
                other => panic!("{members} {down:?}: {other:?}"),
            };
            assert_eq!(chosen, expected, "{algorithm} {members} {down:?}");
        }
        // The same client, the same member; and not the same for all clients.
        let pools = vec![pool(7, SourceIp, None, "1 2 3")];
        let spec = spec(&[], Some(id(7)), pools);
        let hashed = |client: &str| match ask(&spec, &[], client, HEAD).outcome {
            Outcome::Member { chosen: Choice::Hashed(member), .. } => member,
            other => panic!("{other:?}"),
        };
        assert_eq!(hashed(CLIENT), hashed(CLIENT));
        let all: std::collections::HashSet<_> = (1..60).map(|n| hashed(&format!("198.51.100.{n}"))).collect();
        assert_eq!(all.len(), 3);
    }

    #[test]
    fn how_members_stand() {
        let spec = spec(&[], Some(id(7)), vec![pool(7, Algorithm::RoundRobin, None, "1 2b 30 4x 5")]);
        let Outcome::Member { members, .. } = ask(&spec, &[5], CLIENT, HEAD).outcome else { panic!() };
        let standings: Vec<_> = members.iter().map(|candidate| candidate.standing).collect();
        use Standing::{Backup, Disabled, Down, Drained, Ready};
        assert_eq!(standings, [Ready, Backup, Drained, Disabled, Down]);
    }
}
