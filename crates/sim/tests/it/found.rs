//! What the simulator found once, by name. A seed's course changes when the simulation does; each of these was also
//! fixed with a smaller test where the fault was, if one could be written.

use crate::play;

fn check(seed: u64) {
    let outcome = play(seed);
    assert!(outcome.broken.is_none(), "{}", outcome.report());
}

/// The port of an address was removed by somebody: the network service makes another one for the same address, under
/// another id, and the worker refused it for ever.
#[test]
fn a_port_that_was_removed_is_made_again_under_another_id() {
    check(224);
}

/// The same on a load balancer that was settled: nobody looked at its address any more.
#[test]
fn a_port_that_was_removed_later_is_missed() {
    check(291);
}
