//! Clients that cost more than they ask for.

use super::*;

/// How many times `frames` are put up with; they come all at once, as the `nth` of them.
fn patience(mut frames: impl FnMut(&mut Talk, u32) -> Vec<u8>) -> Option<u32> {
    let mut talk = Talk::new();
    for nth in 0..5_000 {
        let bytes = frames(&mut talk, nth);
        if !talk.say(&bytes) {
            let lines = talk.lines();
            assert!(lines.last().unwrap().ends_with("ENHANCE_YOUR_CALM"), "{lines:?}");
            return Some(nth);
        }
        // Nor does it grow without bounds.
        talk.lines();
    }
    None
}

#[test]
fn frames_that_ask_for_nothing() {
    let unknown = || vec![0, 0, 0, 0x42, 0, 0, 0, 0, 0];
    // The settings of the handshake have cost something.
    assert_eq!(patience(|_, _| frame(Kind::Ping, 0, 0, &[0; 8])), Some(499));
    assert_eq!(patience(|_, _| settings(&[(3, 1)])), Some(499));
    assert_eq!(patience(|_, _| frame(Kind::Settings, flag::ACK, 0, &[])), Some(1996));
    assert_eq!(patience(|_, _| frame(Kind::Priority, 0, 1, &[0; 5])), Some(1996));
    assert_eq!(patience(|_, _| frame(Kind::Goaway, 0, 0, &[0; 8])), Some(1996));
    assert_eq!(patience(|_, _| window_update(0, 1)), Some(1996));
    assert_eq!(patience(|_, _| unknown()), Some(1996));
}

#[test]
fn empty_content() {
    let begun = |bytes: &'static [u8]| {
        move |talk: &mut Talk, nth| {
            if nth == 0 {
                talk.say(&headers(END_HEADERS, 1, &POST));
            }
            talk.core.consumed(1, bytes.len() as u32);
            data(0, 1, bytes)
        }
    };
    assert_eq!(patience(begun(b"")), Some(1996));
    assert_eq!(patience(begun(b"x")), None);
}

#[test]
fn streams_that_are_given_up() {
    let next = |nth: u32| 2 * nth + 1;
    let give_up = |id| [headers(BOTH, id, &GET), reset(id)].concat();
    assert_eq!(patience(|_, nth| give_up(next(nth))), Some(199));
    // That we are brought to do it makes no difference.
    assert_eq!(patience(|_, nth| headers(BOTH, next(nth), &[(":method", "GET")])), Some(199));
    let misuse = |id| [headers(END_HEADERS, id, &POST), window_update(id, 0)].concat();
    assert_eq!(patience(|_, nth| misuse(next(nth))), Some(181));
    // Nor that there is no room for them.
    let crowd = |nth: u32| headers(BOTH, next(nth), &GET);
    assert_eq!(patience(|_, nth| crowd(nth)), Some(MAX_STREAMS as u32 + 199));
    // Who waits for answers may give up some.
    let mixed = |talk: &mut Talk, nth: u32| {
        let id = 4 * nth + 1;
        talk.say(&headers(BOTH, id, &GET));
        talk.core.send_headers(id, &[0x88], true);
        give_up(id + 2)
    };
    assert_eq!(patience(mixed), None);
}

#[test]
fn frames_of_streams_that_are_over() {
    // We have broken it off, and the client goes on.
    let after = |frame: Vec<u8>| {
        patience(move |talk, nth| {
            if nth == 0 {
                talk.say(&[headers(END_HEADERS, 1, &POST), window_update(1, 0)].concat());
            }
            frame.clone()
        })
    };
    assert_eq!(after(data(0, 1, b"")), Some(1985));
    assert_eq!(after(data(END_STREAM, 1, b"")), Some(1985));
    assert_eq!(after(headers(BOTH, 1, &[("sum", "1")])), Some(1985));
    assert_eq!(after(reset(1)), Some(1985));
    // What was on its way is none of that.
    assert_eq!(after(data(0, 1, b"x")), None);
}

#[test]
fn time_heals() {
    let slowly = |talk: &mut Talk, nth: u32| {
        talk.now += 50;
        [headers(BOTH, 2 * nth + 1, &GET), reset(2 * nth + 1)].concat()
    };
    assert_eq!(patience(slowly), None);
}

#[test]
fn header_blocks_without_end() {
    let mut talk = Talk::new();
    talk.say(&frame(Kind::Headers, 0, 1, &[]));
    for _ in 1..MAX_BLOCK_FRAMES {
        assert!(talk.say(&frame(Kind::Continuation, 0, 1, &[])));
    }
    assert!(!talk.say(&frame(Kind::Continuation, 0, 1, &[])));
    assert_eq!(talk.lines(), ["< GOAWAY 1 ENHANCE_YOUR_CALM"]);

    let mut talk = Talk::new();
    talk.say(&frame(Kind::Headers, 0, 1, &[0; MAX_FRAME]));
    assert!(talk.say(&frame(Kind::Continuation, 0, 1, &[0; MAX_FRAME])));
    assert!(!talk.say(&frame(Kind::Continuation, 0, 1, &[0])));
}
