//! What the simulator found, as short stories: a seed's course changes with every change of the simulation, a story
//! does not. Each fault has a smaller test where it was, too, if one can be written.

use jiff::SignedDuration;
use octavia_sim::Act::{self, ClockSteps, Converges, Create, Happens, Passes};
use octavia_sim::{Database, Mishap, Wish};

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
        AddressLost, AgentHangs, AmphoraRestarts, MembersDown, Mute, OldListings, ProxyGone, ServerBreaks,
        ServerStops, ServerVanishes, Unreachable,
    };
    let for_long = SignedDuration::from_secs(150);
    for mishap in [
        OldListings,
        AddressLost,
        ServerStops,
        ServerVanishes,
        ServerBreaks,
        AgentHangs,
        ProxyGone,
        AmphoraRestarts,
        MembersDown(true),
    ] {
        check(&[Create, Converges, Happens(mishap), Converges]);
    }
    for (mishap, end) in [(Unreachable(true), Unreachable(false)), (Mute(true), Mute(false))] {
        check(&[Create, Converges, Happens(mishap), Passes(for_long), Happens(end), Converges]);
    }
}

/// The clock goes an hour ahead, something is asked for, and it comes back: at once, while a lease is held, and after
/// the attempt. Nothing waits for the hour.
#[test]
fn a_clock_that_is_stepped_back_holds_nothing_up() {
    let hour = SignedDuration::from_hours(1);
    for millis in [0, 15, 50, 120, 400, 5_000] {
        let ahead = [
            ClockSteps(hour),
            Act::Wish(Wish::Rename("later".to_owned())),
            Passes(SignedDuration::from_millis(millis)),
        ];
        let back = [ClockSteps(-hour), Converges];
        check(&[&[Create, Converges], &ahead[..], &back[..]].concat());
        let ahead = [ClockSteps(hour), Create, Passes(SignedDuration::from_millis(millis))];
        check(&[&ahead[..], &back[..]].concat());
    }
    // What dies after it is missed as soon as ever.
    let there =
        [Create, Converges, ClockSteps(hour), Passes(SignedDuration::from_secs(90)), ClockSteps(-hour)];
    for mishap in [Mishap::AgentHangs, Mishap::ServerStops, Mishap::ServerVanishes] {
        check(&[&there[..], &[Happens(mishap), Converges]].concat());
    }
}

/// Failover by wish, at every moment of another and of a death.
#[test]
fn failover_is_a_fact_in_a_row() {
    for wish in [Wish::Failover, Wish::AmphoraFailover(0), Wish::AmphoraRefresh(0)] {
        let wish = Act::Wish(wish);
        check(&[Create, Converges, wish.clone(), Converges, wish.clone(), Converges]);
        for millis in [0, 50, 120, 400, 2_000] {
            let later = Passes(SignedDuration::from_millis(millis));
            check(&[Create, Converges, wish.clone(), later.clone(), wish.clone(), Converges]);
            for mishap in [Mishap::ServerVanishes, Mishap::AgentHangs, Mishap::ServerBreaks] {
                check(&[Create, Converges, wish.clone(), later.clone(), Happens(mishap), Converges]);
            }
            check(&[Create, later, wish.clone(), Converges]);
        }
    }
}

/// Authority and heartbeat key change at every moment of a creation, a failover and a death, and the older ones are dropped
/// as soon as they may be.
#[test]
fn nobody_is_lost_while_authorities_change() {
    use Act::TrustChanges;

    check(&[Create, Converges, TrustChanges, Converges, TrustChanges, Converges, TrustChanges, Converges]);
    let failover = Act::Wish(Wish::Failover);
    for millis in [0, 50, 120, 400, 2_000] {
        let later = Passes(SignedDuration::from_millis(millis));
        for begin in [vec![Create], vec![Create, Converges, failover.clone()], {
            vec![Create, Converges, Happens(Mishap::ServerVanishes)]
        }] {
            let change = [later.clone(), TrustChanges, later.clone(), TrustChanges, Converges];
            check(&[&begin[..], &change, &[TrustChanges, Converges]].concat());
        }
    }
}

/// Whoever dies in between, a spare is one load balancer's or nobody's, and another takes its place.
#[test]
fn spares_are_adopted_and_made_again() {
    let failover = Act::Wish(Wish::Failover);
    let begin = [Act::Spares(2), Converges];
    check(&[&begin[..], &[Create, Create, Create, Converges, failover.clone(), Converges]].concat());
    for mishap in [Mishap::ServerVanishes, Mishap::ServerStops, Mishap::AgentHangs, Mishap::ProxyGone] {
        check(&[&begin[..], &[Happens(mishap), Create, Converges]].concat());
        for millis in [0, 50, 400] {
            let later = Passes(SignedDuration::from_millis(millis));
            check(&[&begin[..], &[Create, later, Happens(mishap), Converges]].concat());
        }
    }
    check(&[&begin[..], &[Act::TrustChanges, Converges, Act::TrustChanges, Create, Converges]].concat());
}
