//! Whether a pushed spec is taken: a pure function of what is here and what came.

use octavia_model::{AmphoraId, LoadBalancerId};
use octavia_wire::{AgentFault, AmphoraSpec, SpecError};

/// What a spec is held against.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Present<'a> {
    pub(crate) amphora_id: AmphoraId,
    /// `None` = not yet one load balancer's.
    pub(crate) load_balancer_id: Option<LoadBalancerId>,
    pub(crate) spec: Option<&'a AmphoraSpec>,
    /// `(fence, generation)` that the proxy runs: it may know of a spec that was lost from the disk.
    pub(crate) running: (u64, u64),
    /// It has a namespace of its own for traffic, in which interfaces can be.
    pub(crate) plumbs: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// To be stored and applied.
    Take,
    /// Here already.
    Same,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("the spec is for amphora {0}, this is {1}")]
    OtherAmphora(AmphoraId, AmphoraId),
    #[error("the spec is for load balancer {0}, this amphora serves {1}")]
    OtherLoadBalancer(LoadBalancerId, LoadBalancerId),
    #[error(transparent)]
    Invalid(#[from] SpecError),
    #[error("the spec has interfaces, and the agent was given no namespace for them")]
    NoNamespace,
    #[error("the spec has fence {} and generation {}, here are {} and {}", .0.0, .0.1, .1.0, .1.1)]
    Superseded((u64, u64), (u64, u64)),
}

impl From<Refusal> for AgentFault {
    fn from(refusal: Refusal) -> Self {
        let http_code = if matches!(refusal, Refusal::Superseded(..)) { 409 } else { 400 };
        Self { error: refusal.to_string(), http_code }
    }
}

/// Of the same fence and generation, other content is taken: the sender is the same worker under the same lease, and
/// the last word counts.
pub(crate) fn judge(spec: &AmphoraSpec, present: Present<'_>) -> Result<Verdict, Refusal> {
    if spec.amphora_id != present.amphora_id {
        return Err(Refusal::OtherAmphora(spec.amphora_id, present.amphora_id));
    }
    let serves = present.load_balancer_id.or(present.spec.map(|spec| spec.load_balancer_id));
    if let Some(serves) = serves
        && spec.load_balancer_id != serves
    {
        return Err(Refusal::OtherLoadBalancer(spec.load_balancer_id, serves));
    }
    spec.validate()?;
    if spec.network.is_some() && !present.plumbs {
        return Err(Refusal::NoNamespace);
    }
    let here = present.spec.map_or((0, 0), AmphoraSpec::precedence).max(present.running);
    if spec.precedence() < here {
        return Err(Refusal::Superseded(spec.precedence(), here));
    }
    Ok(if present.spec == Some(spec) { Verdict::Same } else { Verdict::Take })
}

#[cfg(test)]
mod tests {
    use octavia_wire::{NetworkSpec, WIRE_VERSION};

    use super::*;

    fn spec(fence: u64, generation: u64) -> AmphoraSpec {
        AmphoraSpec {
            version: WIRE_VERSION,
            amphora_id: AmphoraId::nil(),
            load_balancer_id: LoadBalancerId::nil(),
            generation,
            fence,
            vips: vec![],
            listeners: vec![],
            pools: vec![],
            access_log: None,
            sorry_pages: vec![],
            network: None,
            tickets: None,
        }
    }

    #[test]
    fn precedence_decides() {
        use Verdict::{Same, Take};
        // Here, running, pushed, verdict (None = superseded).
        for (here, running, pushed, expected) in [
            (None, (0, 0), (0, 0), Some(Take)),
            (None, (0, 0), (1, 1), Some(Take)),
            (None, (2, 7), (2, 6), None),
            (None, (2, 7), (2, 7), Some(Take)),
            (Some((2, 7)), (2, 7), (2, 7), Some(Same)),
            (Some((2, 7)), (0, 0), (2, 7), Some(Same)),
            (Some((2, 7)), (2, 7), (2, 8), Some(Take)),
            (Some((2, 7)), (2, 7), (2, 6), None),
            (Some((2, 7)), (2, 7), (1, 99), None),
            (Some((2, 7)), (2, 7), (3, 1), Some(Take)),
            (Some((2, 7)), (3, 8), (2, 9), None),
        ] {
            let spec_here = here.map(|(fence, generation)| spec(fence, generation));
            let present = Present {
                amphora_id: AmphoraId::nil(),
                load_balancer_id: None,
                spec: spec_here.as_ref(),
                running,
                plumbs: false,
            };
            let verdict = judge(&spec(pushed.0, pushed.1), present);
            match expected {
                Some(expected) => assert_eq!(verdict, Ok(expected), "{here:?} {running:?} {pushed:?}"),
                None => {
                    let fault = AgentFault::from(verdict.unwrap_err());
                    assert_eq!(fault.http_code, 409, "{here:?} {running:?} {pushed:?}");
                }
            }
        }
    }

    #[test]
    fn equal_precedence_with_other_content_is_taken() {
        let here = spec(1, 1);
        let other = AmphoraSpec { vips: vec!["127.0.0.1".parse().unwrap()], ..spec(1, 1) };
        let present = Present {
            amphora_id: AmphoraId::nil(),
            load_balancer_id: None,
            spec: Some(&here),
            running: (1, 1),
            plumbs: false,
        };
        assert_eq!(judge(&other, present), Ok(Verdict::Take));
    }

    #[test]
    fn strangers_and_the_invalid_are_refused() {
        let lb: LoadBalancerId = "00000000-0000-4000-8000-000000000001".parse().unwrap();
        let other: AmphoraId = "00000000-0000-4000-8000-000000000002".parse().unwrap();
        let mine = AmphoraSpec { load_balancer_id: lb, ..spec(1, 1) };
        let check =
            |spec: &AmphoraSpec, boot: Option<LoadBalancerId>, here: Option<&AmphoraSpec>, text: &str| {
                let present = Present {
                    amphora_id: AmphoraId::nil(),
                    load_balancer_id: boot,
                    spec: here,
                    running: (0, 0),
                    plumbs: false,
                };
                let fault = AgentFault::from(judge(spec, present).unwrap_err());
                assert_eq!(fault.http_code, 400);
                assert!(fault.error.contains(text), "{}", fault.error);
            };
        check(&AmphoraSpec { amphora_id: other, ..spec(1, 1) }, None, None, "for amphora");
        check(&spec(1, 1), Some(lb), None, "for load balancer");
        check(&spec(2, 1), None, Some(&mine), "for load balancer");
        check(&AmphoraSpec { version: 99, ..spec(1, 1) }, None, None, "wire version 99");
        let network = Some(NetworkSpec::default());
        check(&AmphoraSpec { network, ..spec(1, 1) }, None, None, "no namespace");
    }
}
