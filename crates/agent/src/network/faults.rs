//! What is said of interfaces that are not as they should be; pure.

use std::io;
use std::net::IpAddr;

use octavia_model::ReasonCode;
use octavia_wire::{InterfaceFault, ListenerFault, ListenerSpec, Mac, NetworkSpec, VrrpSpec};

use super::diff::Change;
use super::state::Link;
use super::wanted::Vips;

const BY_ITSELF: &str = "It is tried again by itself.";

/// With the VIPs that are out of reach for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) told: InterfaceFault,
    vips: Vec<IpAddr>,
    /// Some of the VIPs are not where they shall be.
    pub(super) misplaces: bool,
}

/// The VIPs cannot be taken, since nobody could be asked who has them.
pub(crate) fn no_router(spec: &VrrpSpec, error: &dyn std::error::Error) -> Fault {
    let told = InterfaceFault {
        mac: Some(spec.interface),
        code: ReasonCode::Internal,
        text: format!("VRRP cannot be spoken: {error}"),
        advice: BY_ITSELF.to_owned(),
    };
    Fault { told, vips: spec.vips.clone(), misplaces: false }
}

pub(super) fn missing(spec: &NetworkSpec, place: Vips, mac: Mac) -> Fault {
    let told = InterfaceFault {
        mac: Some(mac),
        code: ReasonCode::InterfaceMissing,
        text: format!("the amphora has no interface {mac}"),
        advice: "It is still to be plugged, or was taken away; it is used as soon as it is there.".to_owned(),
    };
    let vips: Vec<_> = vips(spec, Some(mac)).collect();
    Fault { told, misplaces: place == Vips::Here && !vips.is_empty(), vips }
}

pub(super) fn failed(spec: &NetworkSpec, change: &Change, link: Option<&Link>, error: &io::Error) -> Fault {
    let of = link.map(|link| format!("interface {}: ", link.name)).unwrap_or_default();
    let mac = link.and_then(|link| link.mac);
    let told = InterfaceFault {
        mac,
        code: ReasonCode::Internal,
        text: format!("{of}cannot {change}: {error}"),
        advice: BY_ITSELF.to_owned(),
    };
    // The other family may be well.
    let concerned = |vip: &IpAddr| change.address().is_none_or(|address| address.is_ipv4() == vip.is_ipv4());
    let misplaces = match change {
        Change::AddAddress(address) | Change::RemoveAddress(address) => {
            spec.vips().any(|vip| vip == address.address.addr())
        }
        _ => false,
    };
    Fault { told, misplaces, vips: vips(spec, mac).filter(concerned).collect() }
}

pub(super) fn unseen(spec: &NetworkSpec, error: &io::Error) -> Fault {
    let told = InterfaceFault {
        mac: None,
        code: ReasonCode::Internal,
        text: format!("what interfaces there are cannot be seen: {error}"),
        advice: BY_ITSELF.to_owned(),
    };
    Fault { told, misplaces: true, vips: spec.vips().collect() }
}

/// Of this interface, or of all.
fn vips(spec: &NetworkSpec, mac: Option<Mac>) -> impl Iterator<Item = IpAddr> {
    let here = spec.interfaces.iter().filter(move |interface| mac.is_none_or(|mac| mac == interface.mac));
    here.flat_map(|interface| &interface.vips).copied()
}

/// One for each listener and VIP that is out of reach.
pub(crate) fn listener_faults(listeners: &[ListenerSpec], faults: &[Fault]) -> Vec<ListenerFault> {
    let mut all: Vec<ListenerFault> = vec![];
    for Fault { told, vips, .. } in faults {
        for &address in vips {
            for listener in listeners.iter().map(|listener| listener.id) {
                // The first says what the others follow from.
                if !all.iter().any(|fault| fault.listener == listener && fault.address == address) {
                    let InterfaceFault { code, text, advice, .. } = told.clone();
                    all.push(ListenerFault { listener, address, code, text, advice });
                }
            }
        }
    }
    all
}
