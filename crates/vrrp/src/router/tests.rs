use super::*;
use crate::Password;

use Action::{Advertise, Announce, Hold, Release};

const OWN: IpAddr = ip(5);
const PEER: IpAddr = ip(7);
const VIP: IpAddr = ip(100);

const fn ip(last: u8) -> IpAddr {
    IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, last))
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A skew of 156/256 of an interval.
fn settings() -> Settings {
    Settings {
        version: Version::V3,
        router_id: 1,
        priority: 100,
        interval: ms(200),
        preempt: false,
        source: OWN,
        peers: vec![PEER, ip(3)],
        password: None,
        vips: vec![VIP],
        announce_every: Duration::from_secs(5),
        announce_times: 2,
    }
}

/// 3 × 200 ms, and the skew.
const DOWN: Duration = Duration::from_nanos(721_875_000);

/// What happens to a router.
#[derive(Debug, Clone, Copy)]
enum Event {
    Timer,
    /// From a peer of this address, of this priority.
    Hear(IpAddr, u8),
    Held,
    HoldFailed,
    Health(bool),
    Leave,
}

use Event::{Health, Hear, Held, HoldFailed, Leave, Timer};

struct Played(Router);

impl Played {
    fn new(settings: Settings) -> Self {
        Self(Router::new(settings, true, ms(0)))
    }

    /// That an event at a time asks for these actions, and leads to this state.
    fn play(&mut self, at: Duration, event: Event, expected: &[Action], state: State) -> &mut Self {
        let router = &mut self.0;
        let mut actions = vec![];
        match event {
            Timer => router.on_timer(at, &mut actions),
            Hear(peer, priority) => {
                let sent = router.settings.advertisement(priority).encode(peer, OWN);
                let datagram = Datagram { from: peer, to: OWN, ttl: TTL, payload: &sent };
                router.receive(&datagram, at, &mut actions).unwrap();
            }
            Held => router.held(at, &mut actions),
            HoldFailed => router.hold_failed(at, &mut actions),
            Health(healthy) => router.set_health(healthy, at, &mut actions),
            Leave => router.leave(at, &mut actions),
        }
        assert_eq!((&actions[..], router.state()), (expected, state), "{event:?} at {at:?}");
        // What was due is done.
        if matches!(event, Timer) {
            assert!(router.deadline().is_none_or(|deadline| deadline > at), "{:?}", router.deadline());
        }
        self
    }

    fn deadline(&mut self, expected: Option<Duration>) -> &mut Self {
        assert_eq!(self.0.deadline(), expected);
        self
    }
}

#[test]
fn silence_makes_a_master() {
    Played::new(settings())
        .deadline(Some(DOWN))
        .play(DOWN - ms(1), Timer, &[], State::Backup)
        .play(DOWN, Timer, &[Advertise(100), Hold], State::Master)
        .deadline(Some(DOWN + ms(200)))
        .play(DOWN + ms(2), Held, &[Announce], State::Master)
        .deadline(Some(DOWN + ms(102)))
        .play(DOWN + ms(103), Timer, &[Announce], State::Master)
        .deadline(Some(DOWN + ms(200)))
        // It is late, and the next is not.
        .play(DOWN + ms(210), Timer, &[Advertise(100)], State::Master)
        .deadline(Some(DOWN + ms(302)))
        .play(DOWN + ms(310), Timer, &[Announce], State::Master)
        .deadline(Some(DOWN + ms(400)))
        // It is very late, and nothing is made up for.
        .play(DOWN + ms(3_002), Timer, &[Advertise(100), Announce], State::Master)
        .deadline(Some(DOWN + ms(3_202)))
        .play(DOWN + ms(8_002), Timer, &[Advertise(100), Announce, Announce], State::Master)
        .deadline(Some(DOWN + ms(8_202)));
}

#[test]
fn announcements_go_on() {
    let mut played = Played::new(settings());
    played.play(DOWN, Timer, &[Advertise(100), Hold], State::Master);
    played.play(DOWN, Held, &[Announce], State::Master);
    let mut announced = vec![];
    for at in (0..).map(|tick| DOWN + ms(100) * tick).take_while(|at| *at < DOWN + ms(20_000)) {
        let mut actions = vec![];
        played.0.on_timer(at, &mut actions);
        let times = actions.iter().filter(|action| **action == Announce).count();
        announced.extend((times > 0).then_some(((at - DOWN).as_millis(), times)));
    }
    let expected = [(100, 1), (300, 1), (1_000, 1), (3_000, 1), (8_000, 2), (13_000, 2), (18_000, 2)];
    assert_eq!(announced, expected);
    let mut once = Played::new(Settings { announce_every: Duration::ZERO, ..settings() });
    once.play(DOWN, Timer, &[Advertise(100), Hold], State::Master).play(
        DOWN,
        Held,
        &[Announce],
        State::Master,
    );
    for tick in 1..200 {
        once.0.on_timer(DOWN + ms(100) * tick, &mut vec![]);
    }
    assert_eq!(once.0.announcing.unwrap().next, None);
}

#[test]
fn a_backup_hears() {
    for (preempt, heard, deadline) in [
        // Whoever is master stays it…
        (false, (PEER, 90), ms(500) + DOWN),
        (false, (PEER, 100), ms(500) + DOWN),
        (false, (ip(3), 101), ms(500) + DOWN),
        // …unless it is of lower priority and this one preempts.
        (true, (PEER, 99), DOWN),
        (true, (PEER, 100), ms(500) + DOWN),
        (true, (PEER, 101), ms(500) + DOWN),
        // It leaves.
        (false, (PEER, 0), ms(500) + (DOWN - ms(600))),
        (true, (PEER, 0), ms(500) + (DOWN - ms(600))),
    ] {
        Played::new(Settings { preempt, ..settings() })
            .play(ms(500), Hear(heard.0, heard.1), &[], State::Backup)
            .deadline(Some(deadline));
    }
    // What is said again puts nothing off.
    Played::new(settings())
        .play(ms(300), Hear(PEER, 0), &[], State::Backup)
        .play(ms(400), Hear(PEER, 0), &[], State::Backup)
        .deadline(Some(ms(300) + (DOWN - ms(600))));
}

#[test]
fn a_master_hears() {
    let yields = (&[Release][..], State::Backup);
    let stays = (&[Advertise(100)][..], State::Master);
    for (heard, (actions, state)) in [
        ((PEER, 101), yields),
        ((PEER, 255), yields),
        // Of the same priority the larger address is master.
        ((PEER, 100), yields),
        ((ip(3), 100), stays),
        ((PEER, 99), stays),
        ((PEER, 1), stays),
        ((PEER, 0), stays),
    ] {
        let at = DOWN + ms(150);
        let deadline = at + if state == State::Master { ms(200) } else { DOWN };
        Played::new(settings())
            .play(DOWN, Timer, &[Advertise(100), Hold], State::Master)
            .play(at, Hear(heard.0, heard.1), actions, state)
            .deadline(Some(deadline));
    }
}

#[test]
fn who_was_stopped_does_not_come_back_as_master() {
    for (preempt, late, stays) in
        [(false, ms(399), true), (false, ms(400), false), (false, ms(9_000), false), (true, ms(9_000), true)]
    {
        let (actions, state) =
            if stays { ([Advertise(100)], State::Master) } else { ([Release], State::Backup) };
        Played::new(Settings { preempt, ..settings() })
            .play(DOWN, Timer, &[Advertise(100), Hold], State::Master)
            .play(DOWN + ms(200) + late, Hear(PEER, 90), &actions, state);
    }
    // Nobody followed.
    Played::new(settings()).play(DOWN, Timer, &[Advertise(100), Hold], State::Master).play(
        DOWN + ms(9_000),
        Timer,
        &[Advertise(100)],
        State::Master,
    );
}

#[test]
fn another_master_is_announced_over_but_not_in_a_storm() {
    let mut played = Played::new(settings());
    played.play(DOWN, Timer, &[Advertise(100), Hold], State::Master);
    // The addresses are not on yet, and it has just advertised.
    played.play(DOWN + ms(1), Hear(PEER, 90), &[], State::Master);
    played.play(DOWN + ms(1), Timer, &[], State::Master);
    played.play(DOWN + ms(2), Held, &[Announce], State::Master);
    let mut actions = vec![];
    let payload = played.0.settings.advertisement(90).encode(PEER, OWN);
    let datagram = Datagram { from: PEER, to: OWN, ttl: TTL, payload: &payload };
    for at in (3..3_000).map(|millis| DOWN + ms(millis)) {
        played.0.receive(&datagram, at, &mut actions).unwrap();
        played.0.on_timer(at, &mut actions);
    }
    let count = |wanted| actions.iter().filter(|action| **action == wanted).count();
    // In the first second two more, and in each other three; four advertisements for one.
    assert_eq!((count(Announce), count(Advertise(100))), (2 + 3 + 3, 3_000 / 50 - 1));
}

#[test]
fn a_master_learns_the_interval_of_the_next() {
    let mut played = Played::new(settings());
    let slower = Settings { interval: ms(1_000), ..settings() }.advertisement(200).encode(PEER, OWN);
    let datagram = Datagram { from: PEER, to: OWN, ttl: TTL, payload: &slower };
    played.0.receive(&datagram, ms(0), &mut vec![]).unwrap();
    played.deadline(Some(DOWN * 5)).play(DOWN * 5, Timer, &[Advertise(100), Hold], State::Master);
    // Its own is what it has been told.
    played.deadline(Some(DOWN * 5 + ms(200)));
}

#[test]
fn who_cannot_serve_stays_out() {
    Played::new(settings())
        .play(ms(1), Health(true), &[], State::Backup)
        .play(ms(2), Health(false), &[], State::Fault)
        .deadline(None)
        .play(ms(9_000), Timer, &[], State::Fault)
        .play(ms(9_000), Hear(PEER, 0), &[], State::Fault)
        .play(ms(9_000), Health(true), &[], State::Backup)
        .deadline(Some(ms(9_000) + DOWN))
        .play(ms(9_000) + DOWN, Timer, &[Advertise(100), Hold], State::Master)
        .play(ms(9_800), Health(false), &[Advertise(0), Release], State::Fault)
        .play(ms(9_800), Held, &[], State::Fault)
        .deadline(None);
    let mut sick = Played(Router::new(settings(), false, ms(0)));
    sick.deadline(None).play(ms(5), Health(true), &[], State::Backup).deadline(Some(ms(5) + DOWN));
}

#[test]
fn who_cannot_put_addresses_on_lets_others_try() {
    let failed = DOWN + ms(10);
    let over = failed + ms(5_000);
    let mut played = Played::new(settings());
    played
        .play(DOWN, Timer, &[Advertise(100), Hold], State::Master)
        .play(failed, HoldFailed, &[Advertise(0), Release], State::Fault)
        .play(failed + ms(1), Health(false), &[], State::Fault)
        .play(failed + ms(2), Health(true), &[], State::Fault)
        .deadline(Some(over))
        .play(over, Timer, &[], State::Backup)
        .deadline(Some(over + DOWN))
        .play(over + ms(1), HoldFailed, &[], State::Backup);
    let mut sick = Played::new(settings());
    sick.play(DOWN, Timer, &[Advertise(100), Hold], State::Master)
        .play(failed, HoldFailed, &[Advertise(0), Release], State::Fault)
        .play(failed, Health(false), &[], State::Fault)
        .play(over, Timer, &[], State::Fault)
        .deadline(None)
        .play(over, Health(true), &[], State::Backup);
}

#[test]
fn who_leaves_holds_the_addresses_until_another_does() {
    let master = |settings| {
        let mut played = Played::new(settings);
        played.play(DOWN, Timer, &[Advertise(100), Hold], State::Master);
        played.play(DOWN, Held, &[Announce], State::Master);
        played
    };
    let leaves = DOWN + ms(100);
    master(settings())
        .play(leaves, Leave, &[Advertise(0)], State::Leaving)
        .play(leaves, Leave, &[], State::Leaving)
        // Lost, perhaps.
        .deadline(Some(leaves + ms(200)))
        .play(leaves + ms(200), Timer, &[Advertise(0)], State::Leaving)
        .play(leaves + ms(250), Hear(PEER, 0), &[], State::Leaving)
        .play(leaves + ms(250), Hear(PEER, 90), &[], State::Leaving)
        .play(leaves + ms(250), Hear(PEER, 90), &[], State::Leaving)
        .deadline(Some(leaves + ms(350)))
        .play(leaves + ms(349), Timer, &[], State::Leaving)
        .play(leaves + ms(350), Timer, &[Release], State::Initialize)
        .play(leaves + ms(900), Hear(PEER, 0), &[], State::Initialize)
        .deadline(None);
    // Nobody follows.
    let mut alone = master(settings());
    alone.play(leaves, Leave, &[Advertise(0)], State::Leaving);
    for again in 1..4 {
        alone.play(leaves + ms(200) * again, Timer, &[Advertise(0)], State::Leaving);
    }
    alone.play(leaves + ms(800), Timer, &[Release], State::Initialize).deadline(None);
    // Nobody is there who could.
    let mut only = master(Settings { peers: vec![], ..settings() });
    only.play(leaves, Leave, &[Advertise(0), Release], State::Initialize);
    // It holds what serves nobody.
    master(settings()).play(leaves, Leave, &[Advertise(0)], State::Leaving).play(
        leaves,
        Health(false),
        &[Release],
        State::Initialize,
    );
    master(settings()).play(leaves, Leave, &[Advertise(0)], State::Leaving).play(
        leaves,
        HoldFailed,
        &[Release],
        State::Initialize,
    );
    Played::new(settings()).play(ms(1), Leave, &[], State::Initialize).deadline(None);
}

#[test]
fn who_goes_on_in_another_process_stays_master() {
    let mut actions = vec![];
    let router = Router::resume(settings(), ms(0), &mut actions);
    assert_eq!((router.state(), &actions[..]), (State::Master, &[Advertise(100), Hold][..]));
    assert_eq!(router.deadline(), Some(ms(200)));
}

#[test]
fn reconfigured() {
    let more = Settings { vips: vec![VIP, ip(101)], ..settings() };
    let mut actions = vec![];
    let mut master = Played::new(settings());
    master.play(DOWN, Timer, &[Advertise(100), Hold], State::Master).play(
        DOWN,
        Held,
        &[Announce],
        State::Master,
    );
    master.0.reconfigure(settings(), DOWN + ms(50), &mut actions);
    assert_eq!(actions, []);
    master.0.reconfigure(more.clone(), DOWN + ms(50), &mut actions);
    assert_eq!(actions, [Advertise(100), Hold]);
    let lower = Settings { priority: 90, ..more };
    master.0.reconfigure(lower.clone(), DOWN + ms(60), &mut actions);
    assert_eq!(actions[2..], [Advertise(90)]);
    master.deadline(Some(DOWN + ms(100))).play(DOWN + ms(70), Hear(PEER, 95), &[Release], State::Backup);

    // A backup waits for as long as it would have waited from the beginning.
    let mut backup = Played::new(settings());
    actions.clear();
    backup.0.reconfigure(Settings { interval: ms(400), ..settings() }, ms(100), &mut actions);
    backup.deadline(Some(DOWN * 2));
    backup.play(ms(100), Hear(PEER, 200), &[], State::Backup).deadline(Some(ms(100) + DOWN * 2));
    // What it has heard of the master's stays.
    backup.0.reconfigure(Settings { priority: 228, ..settings() }, ms(150), &mut actions);
    backup.deadline(Some(ms(100) + ms(400) * 3 + ms(400) * 28 / 256));
    assert_eq!(actions, []);
}

#[test]
fn only_what_is_for_it_is_taken() {
    let v2 = Settings {
        version: Version::V2,
        interval: Duration::from_secs(1),
        password: Some(Password::new(b"secret7")),
        ..settings()
    };
    let sent = |settings: &Settings| settings.advertisement(200).encode(PEER, OWN);
    let good = sent(&settings());
    let check = |receiver: &Settings, from, ttl, payload: &[u8]| {
        let mut router = Router::new(receiver.clone(), true, ms(0));
        let before = router.deadline();
        let datagram = Datagram { from, to: OWN, ttl, payload };
        let result = router.receive(&datagram, ms(9), &mut vec![]);
        assert_eq!(result.is_ok(), router.deadline() != before);
        assert_eq!(result.is_ok(), router.heard().is_some());
        result
    };
    assert_eq!(check(&settings(), PEER, 255, &good), Ok(()));
    assert_eq!(check(&v2, PEER, 255, &sent(&v2)), Ok(()));
    assert_eq!(check(&settings(), ip(9), 255, &good), Err(Discard::Stranger(ip(9))));
    assert_eq!(check(&settings(), OWN, 255, &good), Err(Discard::Stranger(OWN)));
    assert_eq!(check(&settings(), PEER, 254, &good), Err(Discard::Ttl(254)));
    assert_eq!(check(&settings(), PEER, 64, &good), Err(Discard::Ttl(64)));
    assert_eq!(check(&settings(), PEER, 255, &good[1..]), Err(Discard::Malformed(Malformed::Version(0))));
    assert_eq!(check(&v2, PEER, 255, &good), Err(Discard::Version(Version::V3)));
    assert_eq!(check(&settings(), PEER, 255, &sent(&v2)), Err(Discard::Version(Version::V2)));
    let other = Settings { router_id: 2, ..settings() };
    assert_eq!(check(&settings(), PEER, 255, &sent(&other)), Err(Discard::RouterId(2)));
    for password in [None, Some(Password::new(b"secret8"))] {
        let other = Settings { password, ..v2.clone() };
        assert_eq!(check(&v2, PEER, 255, &sent(&other)), Err(Discard::Password));
        assert_eq!(check(&other, PEER, 255, &sent(&v2)), Err(Discard::Password));
    }
    let slower = Settings { interval: Duration::from_secs(2), ..v2.clone() };
    let refused = Discard::Interval(Duration::from_secs(2));
    assert_eq!(check(&v2, PEER, 255, &sent(&slower)), Err(refused));
    // Other addresses, and another interval in version 3, are none of it.
    let different = Settings { vips: vec![ip(8), ip(9)], interval: ms(40), ..settings() };
    assert_eq!(check(&settings(), PEER, 255, &sent(&different)), Ok(()));
}

#[test]
fn hop_limits_of_ipv6() {
    let [own, peer, vip] = ["fd00::5", "fd00::7", "fd00::9"].map(|text| text.parse::<IpAddr>().unwrap());
    // The other family is held, and not advertised.
    let settings = Settings { source: own, peers: vec![peer], vips: vec![VIP, vip], ..settings() };
    let payload = settings.advertisement(200).encode(peer, own);
    assert_eq!(payload.len(), 8 + 16);
    for (ttl, good) in [(255, true), (64, true), (63, false), (65, false), (0, false)] {
        let mut router = Router::new(settings.clone(), true, ms(0));
        let datagram = Datagram { from: peer, to: own, ttl, payload: &payload };
        assert_eq!(router.receive(&datagram, ms(0), &mut vec![]).is_ok(), good, "{ttl}");
    }
}

#[test]
fn skews_of_version_2_are_of_a_second() {
    let v2 = Settings { version: Version::V2, interval: Duration::from_secs(3), ..settings() };
    assert_eq!(v2.down_interval(v2.interval), Duration::from_secs(9) + Duration::from_secs(1) * 156 / 256);
}
