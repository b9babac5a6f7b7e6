//! What the simulator found, as short stories: a seed's course changes with every change of the simulation, a story
//! does not. Each fault has a smaller test where it was, too, if one can be written.

use jiff::SignedDuration;
use octavia_sim::Act::{Converges, Create, Happens, Passes};
use octavia_sim::{Act, Database, Mishap};

use crate::on_a_runtime;

fn check(story: &[Act]) {
    let outcome = on_a_runtime(async || Database::open().await.unwrap().tell(story).await.unwrap());
    assert!(outcome.broken.is_none(), "{}", outcome.report());
}

/// Before the first generation is settled: the network service makes another port for the same address, under another
/// id, and the worker refused it for ever.
#[test]
fn a_port_that_was_removed_is_made_again_under_another_id() {
    check(&[Create, Passes(SignedDuration::from_millis(100)), Happens(Mishap::AddressLost), Converges]);
}

/// Later nobody looked at the address any more.
#[test]
fn a_port_that_was_removed_after_all_was_settled_is_missed() {
    check(&[Create, Converges, Happens(Mishap::AddressLost), Converges]);
}

/// Everything that can happen to one amphora, one after the other, is repaired.
#[test]
fn every_mishap_alone_is_repaired() {
    use Mishap::{
        AddressLost, AgentHangs, AmphoraRestarts, MembersDown, Mute, OldListings, ServerBreaks, ServerStops,
        ServerVanishes, Unreachable,
    };
    let for_long = SignedDuration::from_secs(150);
    for mishap in [
        OldListings,
        AddressLost,
        ServerStops,
        ServerVanishes,
        ServerBreaks,
        AgentHangs,
        AmphoraRestarts,
        MembersDown(true),
    ] {
        check(&[Create, Converges, Happens(mishap), Converges]);
    }
    for (mishap, end) in [(Unreachable(true), Unreachable(false)), (Mute(true), Mute(false))] {
        check(&[Create, Converges, Happens(mishap), Passes(for_long), Happens(end), Converges]);
    }
}
