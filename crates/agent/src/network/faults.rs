//! What is said of interfaces that are not as they should be; pure.

use std::io;

use octavia_model::ReasonCode;
use octavia_wire::{AmphoraSpec, InterfaceFault, ListenerFault, Mac};

use super::diff::Change;
use super::state::Link;

const BY_ITSELF: &str = "It is tried again by itself.";

pub(super) fn missing(mac: Mac) -> InterfaceFault {
    InterfaceFault {
        mac: Some(mac),
        code: ReasonCode::InterfaceMissing,
        text: format!("the amphora has no interface {mac}"),
        advice: "It is still to be plugged, or was taken away; it is used as soon as it is there.".to_owned(),
    }
}

pub(super) fn failed(change: &Change, link: Option<&Link>, error: &io::Error) -> InterfaceFault {
    let of = link.map(|link| format!("interface {}: ", link.name)).unwrap_or_default();
    InterfaceFault {
        mac: link.and_then(|link| link.mac),
        code: ReasonCode::Internal,
        text: format!("{of}cannot {change}: {error}"),
        advice: BY_ITSELF.to_owned(),
    }
}

pub(super) fn unseen(error: &io::Error) -> InterfaceFault {
    InterfaceFault {
        mac: None,
        code: ReasonCode::Internal,
        text: format!("what interfaces there are cannot be seen: {error}"),
        advice: BY_ITSELF.to_owned(),
    }
}

/// The listeners that are out of reach for them: on each VIP of such an interface, all.
pub(crate) fn listener_faults(spec: &AmphoraSpec, faults: &[InterfaceFault]) -> Vec<ListenerFault> {
    let interfaces = || spec.network.iter().flat_map(|network| &network.interfaces);
    let of_interface = |fault: &InterfaceFault| {
        let here = interfaces().filter(|interface| fault.mac.is_none_or(|mac| mac == interface.mac));
        here.flat_map(|interface| interface.vips.clone()).collect::<Vec<_>>()
    };
    let mut told: Vec<ListenerFault> = vec![];
    for fault in faults {
        for address in of_interface(fault) {
            for listener in spec.listeners.iter().map(|listener| listener.id) {
                // The first says what the others follow from.
                if !told.iter().any(|told| told.listener == listener && told.address == address) {
                    let InterfaceFault { code, text, advice, .. } = fault.clone();
                    told.push(ListenerFault { listener, address, code, text, advice });
                }
            }
        }
    }
    told
}
