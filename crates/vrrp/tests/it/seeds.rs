//! What holds of every history.

use std::time::Duration;

use octavia_vrrp::State;

use crate::chance::Chance;
use crate::world::{HOLD, INTERVAL, World};

const SEEDS: u64 = 4_000;

/// Tells which seed it was when a property does not hold.
struct Culprit(u64);

impl Drop for Culprit {
    #[allow(clippy::print_stderr, reason = "beside the panic's own message")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seed {}", self.0);
        }
    }
}

fn each_seed(play: impl Fn(u64)) {
    for seed in 0..SEEDS {
        let _culprit = Culprit(seed);
        play(seed);
    }
}

fn some_priorities(seed: u64) -> &'static [u8] {
    [&[100, 90][..], &[90, 100], &[100, 100], &[100, 90, 90], &[1, 254, 100], &[50, 50, 50]]
        [(seed % 6) as usize]
}

/// The longest time between the last advertisement of a master and the end of the addresses' absence.
fn detection(world: &World) -> Duration {
    let slowest = world.hosts.iter().map(|host| host.settings.down_interval(INTERVAL)).max().unwrap();
    slowest + world.network.delay_max + HOLD
}

/// Whatever can go wrong, goes wrong.
fn chaos(world: &mut World, end: Duration) {
    let mut fate = Chance::new(world.hosts.len() as u64 ^ world.chance.below(usize::MAX) as u64);
    while world.now < end {
        let host = fate.below(world.hosts.len());
        match fate.below(13) {
            0 => world.crash(host),
            1 | 2 => world.start(host),
            3 => world.set_health(host, false),
            4 | 5 => world.set_health(host, true),
            6 => world.leave(host),
            7 => world.stop(host, fate.up_to(Duration::from_millis(2_500))),
            8 => {
                let other = fate.below(world.hosts.len());
                world.network.cut[host][other] = true;
            }
            9 => {
                let count = world.hosts.len();
                (0..count).for_each(|other| world.network.cut[host][other] = true);
                (0..count).for_each(|other| world.network.cut[other][host] = true);
            }
            10 => heal(world),
            11 => world.reconfigure(host, 1 + fate.below(254) as u8),
            _ => {
                world.network.lost_percent = fate.below(60);
                world.network.twice_percent = fate.below(30);
                world.network.delay_max = fate.up_to(3 * INTERVAL);
                world.network.hold_fails_percent = fate.below(10);
                world.network.in_order = fate.percent(50);
            }
        }
        let pause = fate.up_to(Duration::from_millis(800));
        let next = (world.now + pause).min(end);
        world.run_until(next);
    }
}

fn heal(world: &mut World) {
    world.network.cut.iter_mut().flatten().for_each(|cut| *cut = false);
}

/// The network is whole, and every host takes part.
fn calm_down(world: &mut World) {
    heal(world);
    world.network.lost_percent = 0;
    world.network.hold_fails_percent = 0;
    world.network.in_order = true;
    world.network.delay_max = Duration::from_millis(10);
    for host in 0..world.hosts.len() {
        world.set_health(host, true);
        let takes_part = matches!(world.state(host), Some(State::Master | State::Backup));
        if !takes_part || world.is_stopped(host) {
            world.start(host);
        }
    }
    // What was under way is old news that no two hosts have in common.
    world.run_until(world.now + 3 * INTERVAL);
    world.forget();
}

#[test]
fn one_master_in_the_end() {
    each_seed(|seed| {
        let preempt = seed % 5 == 0;
        let mut world = World::new(seed, some_priorities(seed), preempt);
        (0..world.hosts.len()).for_each(|host| world.start(host));
        chaos(&mut world, Duration::from_secs(6));
        calm_down(&mut world);
        let whole = world.now;
        let settled = whole + 10 * INTERVAL;
        world.run_until(settled);
        assert!(world.longest_twofold <= detection(&world), "two for {:?}", world.longest_twofold);
        let masters = world.masters();
        assert_eq!(masters.len(), 1, "{masters:?}");
        for host in 0..world.hosts.len() {
            let became = world.changes.iter().filter(|(_, who)| *who == host).count();
            assert!(became <= 1, "host {host} became master {became} times");
        }
        if preempt {
            // Whoever is of the same priority takes nothing.
            let priorities = world.hosts.iter().map(|host| host.settings.priority);
            assert_eq!(priorities.max().unwrap(), world.hosts[masters[0]].settings.priority);
        }

        world.forget();
        world.run_until(settled + 20 * INTERVAL);
        assert_eq!((world.changes.len(), world.masters()), (0, masters.clone()));
        assert_eq!((world.longest_twofold, world.longest_unheld), (Duration::ZERO, Duration::ZERO));
        assert!(world.hosts[masters[0]].holds);
    });
}

/// A world with a master, and its place.
fn settled(seed: u64) -> (World, usize) {
    let mut world = World::new(seed, some_priorities(seed), false);
    (0..world.hosts.len()).for_each(|host| world.start(host));
    world.run_until(10 * INTERVAL);
    let masters = world.masters();
    assert_eq!(masters.len(), 1);
    let pause = world.chance.up_to(INTERVAL);
    world.run_until(world.now + pause);
    world.forget();
    (world, masters[0])
}

#[test]
fn a_dead_master_is_followed_in_time_and_comes_back_as_a_backup() {
    each_seed(|seed| {
        let (mut world, master) = settled(seed);
        world.network.twice_percent = 20;
        world.crash(master);
        world.run_until(world.now + 10 * INTERVAL);
        assert!(world.longest_unheld <= detection(&world), "none for {:?}", world.longest_unheld);
        let next = world.masters();
        assert!(next.len() == 1 && next[0] != master);
        world.forget();
        world.start(master);
        world.run_until(world.now + 20 * INTERVAL);
        assert_eq!((world.changes.len(), world.masters()), (0, next));
        assert_eq!((world.longest_twofold, world.longest_unheld), (Duration::ZERO, Duration::ZERO));
    });
}

#[test]
fn a_master_that_leaves_or_was_stopped_is_followed() {
    each_seed(|seed| {
        let (mut world, master) = settled(seed);
        let lost_percent = (seed % 3) as usize * 10;
        (world.network.lost_percent, world.network.lost_in_a_row_max) = (lost_percent, 2);
        world.leave(master);
        world.run_until(world.now + 10 * INTERVAL);
        // Nobody notices, unless two follow, of which one yields before the other has put the addresses on.
        assert!(world.longest_unheld <= if lost_percent == 0 { Duration::ZERO } else { HOLD });
        assert_eq!(world.state(master), Some(State::Initialize));
        assert_eq!(world.masters().len(), 1);

        let (mut world, master) = settled(seed);
        world.stop(master, 6 * INTERVAL);
        world.run_until(world.now + 10 * INTERVAL);
        let next = world.masters();
        assert!(next.len() == 1 && next[0] != master, "{next:?} after {master}");
        world.run_until(world.now + 20 * INTERVAL);
        assert_eq!(world.masters(), next);

        let (mut world, master) = settled(seed);
        world.set_health(master, false);
        world.run_until(world.now + 10 * INTERVAL);
        assert_eq!(world.state(master), Some(State::Fault));
        assert!(world.longest_unheld <= INTERVAL + world.network.delay_max + HOLD);
        assert_eq!(world.masters().len(), 1);
        // Of two that have the same priority, both find out at once.
        assert!(world.longest_twofold <= world.network.delay_max);
    });
}

/// Two that are lost in a row, delays and repetitions make no master.
#[test]
fn a_master_that_is_heard_stays_it() {
    each_seed(|seed| {
        let (mut world, master) = settled(seed);
        world.network.lost_percent = 70;
        world.network.lost_in_a_row_max = 2;
        world.network.twice_percent = 30;
        // Three intervals and the skew, less three intervals.
        let skews = world.hosts.iter().map(|host| host.settings.down_interval(INTERVAL) - 3 * INTERVAL);
        world.network.delay_max = skews.min().unwrap();
        world.run_until(world.now + 60 * INTERVAL);
        assert_eq!((world.changes.len(), world.masters()), (0, vec![master]));
    });
}
