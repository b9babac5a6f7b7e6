//! Which sessions are resumed: by whom, when, and for how long. Both sides are in memory, and time is a number.

mod peers;

use octavia_model::{ClientAuthentication, TlsVersion};
use octavia_wire::{StapleSpec, TicketRoot, TicketSpec, TlsSpec};

use self::peers::{Clock, HOUR, Pki, VERSIONS, Visitor, lb, listener, start};
use super::*;

/// In the middle of a period.
const START: u64 = 1_795_791_600;
/// That one.
const P: u64 = START / TicketSpec::PERIOD;
const PERIOD: u64 = TicketSpec::PERIOD;

fn root() -> TicketRoot {
    TicketRoot::new(b"what a controller has")
}

fn shared(period: u64) -> Option<TicketSpec> {
    Some(root().of(lb(1), period))
}

/// What makes one of the two that a client comes to.
struct Host {
    tickets: Option<TicketSpec>,
    listener: u128,
    tls: TlsSpec,
    now: u64,
}

#[test]
fn a_session_is_resumed_by_who_shares_its_secret_in_its_period_and_the_next() {
    let pki = Pki::new();
    let host = || Host { tickets: shared(P - 1), listener: 1, tls: pki.tls(), now: START };
    let asks = |mode| pki.asking(mode, &[]);
    type Change<'a> = &'a dyn Fn(&mut Host);
    let cases: &[(&str, Change<'_>, bool)] = &[
        ("the same", &|_| {}, true),
        ("another that got it long ago", &|b| b.tickets = shared(P - 1_000), true),
        ("another that got it just now", &|b| b.tickets = shared(P), true),
        ("the next period", &|b| b.now += PERIOD, true),
        ("the next, and it got it then", &|b| (b.now, b.tickets) = (START + PERIOD, shared(P)), true),
        ("the end of the next", &|b| b.now = (P + 2) * PERIOD - 1, true),
        ("the one after that", &|b| b.now = (P + 2) * PERIOD, false),
        ("a clock that is behind", &|b| b.now -= PERIOD, true),
        ("a clock that is far behind", &|b| (b.now, b.tickets) = (START - 2 * PERIOD, shared(P - 3)), false),
        ("it got it too late", &|b| (b.now, b.tickets) = (START + PERIOD, shared(P + 1)), false),
        ("it got it, and its clock is far behind", &|b| b.now = 0, true),
        ("another load balancer", &|b| b.tickets = Some(root().of(lb(2), P - 1)), false),
        ("another controller", &|b| b.tickets = Some(TicketRoot::new(b"").of(lb(1), P - 1)), false),
        ("no secret", &|b| b.tickets = None, false),
        ("another listener", &|b| b.listener = 2, false),
        ("who asks for certificates", &|b| b.tls = asks(ClientAuthentication::Optional), false),
        ("who wants certificates", &|b| b.tls = asks(ClientAuthentication::Mandatory), false),
        ("another certificate", &|b| b.tls = Pki::new().tls(), false),
        ("other ciphers", &|b| _ = b.tls.ciphers.pop(), false),
        ("what has nothing to do with it", &|b| b.tls.hsts = Some("max-age=1;".to_owned()), true),
    ];
    for version in VERSIONS {
        for (what, change, resumed) in cases {
            let mut other = host();
            change(&mut other);
            let visitor = Visitor::new(version, None);
            for (host, expected) in [(host(), false), (other, *resumed)] {
                let clock = Clock::at(host.now);
                let conf = start(&clock, listener(host.listener), &host.tls, host.tickets.as_ref(), None);
                let visited = visitor.visit(&conf, "a.example");
                // Who wants a certificate lets nobody in without, and so this client cannot have been there before.
                if host.tls.client_authentication == ClientAuthentication::Mandatory {
                    assert!(visited.is_err(), "{what} {version}");
                } else {
                    assert_eq!(visited, Ok(expected), "{what} {version}");
                }
            }
        }
    }
}

#[test]
fn a_session_is_of_one_name() {
    let pki = Pki::new();
    for version in VERSIONS {
        let conf = start(&Clock::at(START), listener(1), &pki.tls(), shared(P).as_ref(), None);
        let visitor = Visitor::new(version, None);
        assert_eq!(visitor.visit(&conf, "a.example"), Ok(false));
        assert_eq!(visitor.visit(&conf, "b.example"), Ok(false), "{version}");
        assert_eq!(visitor.visit(&conf, "b.example"), Ok(true), "{version}");
    }
}

/// Seconds after the start, and whether the session of before is resumed then.
#[test]
fn keys_go_on_by_themselves_and_sessions_end() {
    let pki = Pki::new();
    for version in VERSIONS {
        for tickets in [None, shared(P - 1), shared(P - 600)] {
            for story in [
                &[(0, false), (1, true), (PERIOD, true), (PERIOD, true)][..],
                &[
                    (0, false),
                    (2 * PERIOD, false),
                    (3 * PERIOD, true),
                    (20 * PERIOD, false),
                    (20 * PERIOD, true),
                ],
                // As long as it is resumed in time; but a day after it was made that ends.
                &[
                    (0, false),
                    (PERIOD, true),
                    (2 * PERIOD, true),
                    (3 * PERIOD, true),
                    (24 * HOUR - 1, true),
                    (24 * HOUR, false),
                    (30 * HOUR, true),
                ],
                // Back goes no clock: the keys stay.
                &[(0, false), (7 * PERIOD, false), (0, true), (PERIOD, true)],
            ] {
                let clock = Clock::at(START);
                let conf = start(&clock, listener(1), &pki.tls(), tickets.as_ref(), None);
                let visitor = Visitor::new(version, None);
                for &(after, resumed) in story {
                    clock.set(START + after);
                    assert_eq!(
                        visitor.visit(&conf, "a.example"),
                        Ok(resumed),
                        "{after} of {story:?} {version}"
                    );
                }
            }
        }
    }
}

/// Of somebody who has shown a certificate: whether the session is resumed, `None` = not let in.
#[test]
fn a_session_ends_with_what_its_client_has_proved() {
    const SOON: u64 = START + HOUR;
    let pki = Pki::new();
    let late = START + 1_000 * HOUR;
    for (what, certificate, lists, story) in [
        ("long", late, vec![], &[(0, Some(false)), (HOUR, Some(true)), (2 * HOUR, Some(true))][..]),
        // It is valid to the end of the second.
        ("the certificate", SOON, vec![], &[(0, Some(false)), (HOUR, Some(true)), (HOUR + 1, None)]),
        ("a list", late, vec![SOON], &[(0, Some(false)), (HOUR - 1, Some(true)), (HOUR, None)]),
        // Another would have been enough.
        ("lists", late, vec![late, SOON], &[(0, Some(false)), (HOUR - 1, Some(true)), (HOUR, Some(false))]),
        // A session that was resumed ends when the first would have.
        ("again", SOON, vec![], &[(0, Some(false)), (1, Some(true)), (HOUR, Some(true)), (HOUR + 1, None)]),
    ] {
        for mode in [ClientAuthentication::Optional, ClientAuthentication::Mandatory] {
            for version in VERSIONS {
                let clock = Clock::at(START);
                let tls = pki.asking(mode, &lists);
                let conf = start(&clock, listener(1), &tls, shared(P).as_ref(), None);
                let visitor = Visitor::new(version, Some(pki.client(certificate)));
                for &(after, expected) in story {
                    clock.set(START + after);
                    let visited = visitor.visit(&conf, "a.example").ok();
                    assert_eq!(visited, expected, "{what} {after} {mode} {version}");
                }
            }
        }
    }
}

/// Two handshakes on one thread, a step of one after a step of the other.
#[test]
fn what_one_client_proves_is_not_anothers() {
    let pki = Pki::new();
    let clock = Clock::at(START);
    let conf = start(&clock, listener(1), &pki.asking(ClientAuthentication::Optional, &[]), None, None);
    for version in VERSIONS {
        clock.set(START);
        let short = Visitor::new(version, Some(pki.client(START + HOUR)));
        let (long, none) =
            (Visitor::new(version, Some(pki.client(START + 9 * HOUR))), Visitor::new(version, None));
        peers::visit_at_once(&conf, &[&short, &long, &none]);
        clock.set(START + 2 * HOUR);
        assert_eq!(short.visit(&conf, "a.example").ok(), None, "{version}");
        assert_eq!(long.visit(&conf, "a.example"), Ok(true), "{version}");
        assert_eq!(none.visit(&conf, "a.example"), Ok(true), "{version}");
    }
}

#[test]
fn the_same_spec_gives_the_same_terms() {
    let pki = Pki::new();
    let clock = Clock::at(START);
    for (before, after, same) in [
        (None, None, true),
        (shared(P - 1), shared(P - 1), true),
        (shared(P - 1), shared(P), true),
        (shared(P - 1), shared(P + 900), true),
        (shared(P), shared(P - 700), true),
        (shared(P), None, false),
        (None, shared(P), false),
        (shared(P), Some(root().of(lb(2), P)), false),
    ] {
        let begun = start(&clock, listener(1), &pki.tls(), before.as_ref(), None);
        let gone_on = start(&clock, listener(1), &pki.tls(), after.as_ref(), Some(&begun));
        assert_eq!(Arc::ptr_eq(&begun, &gone_on), same, "{before:?} {after:?}");
    }
    // A clock was wrong, and has been put right: the keys had gone with it.
    let begun = start(&clock, listener(1), &pki.tls(), shared(P).as_ref(), None);
    clock.set(START + 500 * PERIOD);
    assert_eq!(Visitor::new(TlsVersion::Tls13, None).visit(&begun, "a.example"), Ok(false));
    clock.set(START);
    let gone_on = start(&clock, listener(1), &pki.tls(), shared(P).as_ref(), Some(&begun));
    assert!(!Arc::ptr_eq(&begun, &gone_on));
}

#[test]
fn what_an_authority_says_is_shown_while_it_holds() {
    let pki = Pki::new();
    let stapled = |response: Option<&[u8]>, until| {
        let mut tls = pki.tls();
        let response = response.map(|response| Der(response.to_vec()));
        let staple = StapleSpec { response, until, refresh_at: 0, keeps: true };
        tls.identity.as_mut().unwrap().certificates[0].staple = Some(staple);
        tls
    };
    let clock = Clock::at(START);
    let mut conf = start(&clock, listener(1), &pki.tls(), None, None);
    for version in VERSIONS {
        clock.set(START);
        let visitor = Visitor::new(version, None);
        assert_eq!(visitor.visit(&conf, "a.example"), Ok(false));
        for (tls, after, shown) in [
            (pki.tls(), 0, &b""[..]),
            (stapled(Some(b"good"), START + HOUR), 0, b"good"),
            (stapled(Some(b"good"), START + HOUR), HOUR - 1, b"good"),
            (stapled(Some(b"good"), START + HOUR), HOUR, b""),
            (stapled(Some(b"better"), START + 2 * HOUR), HOUR, b"better"),
            (stapled(None, 0), HOUR, b""),
        ] {
            clock.set(START + after);
            let next = start(&clock, listener(1), &tls, None, Some(&conf));
            let again = start(&clock, listener(1), &tls, None, Some(&next));
            assert!(Arc::ptr_eq(&next, &again));
            conf = next;
            let stranger = Visitor::new(version, None);
            assert_eq!(stranger.visit(&conf, "a.example"), Ok(false));
            assert_eq!(stranger.staple(), shown, "{after} {version}");
            // Sessions are none the worse for it.
            assert_eq!(visitor.visit(&conf, "a.example"), Ok(true), "{after} {version}");
        }
    }
}

#[test]
fn what_is_no_ticket_is_none() {
    use rustls::server::ProducesTickets as _;

    let clock = Clock::at(START);
    let print = |n: u8| {
        let mut press = Press::default();
        press.part(&[n]);
        press.print()
    };
    let tickets = |print| {
        let random = provider::default_provider().secure_random;
        Tickets::new(shared(P).as_ref(), print, Arc::new(clock.clone()), random).unwrap()
    };
    let (own, other) = (tickets(print(1)), tickets(print(2)));
    let message = b"what the library wants back";
    let ticket = own.encrypt(message).unwrap();
    assert_ne!(ticket, own.encrypt(message).unwrap());
    assert_eq!(own.decrypt(&ticket).as_deref(), Some(&message[..]));
    assert_eq!(tickets(print(1)).decrypt(&ticket).as_deref(), Some(&message[..]));
    assert_eq!(other.decrypt(&ticket), None);
    for end in 0..ticket.len() {
        assert_eq!(own.decrypt(&ticket[..end]), None, "{end}");
        let mut changed = ticket.clone();
        changed[end] ^= 1;
        assert_eq!(own.decrypt(&changed), None, "{end}");
    }
    assert_eq!(own.decrypt(&[&ticket[..], &[0]].concat()), None);
    assert_eq!(own.decrypt(&[0xff; 70_000]), None);
    // Nothing, and much.
    for size in [0, 60_000] {
        let message = vec![7; size];
        assert_eq!(own.decrypt(&own.encrypt(&message).unwrap()), Some(message));
    }
    let shown = format!("{own:?}");
    assert_eq!(shown, "Tickets { are_shared: true, .. }");
}
