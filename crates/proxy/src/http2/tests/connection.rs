//! RFC 9113 §3–§6: what a connection makes of frames.

use super::*;

const TEN: [u8; 10] = [b'x'; 10];

#[test]
fn streams_begin_and_end() {
    check(&[headers(BOTH, 1, &GET)], &["> request 1 GET end"]);
    check(
        &[headers(END_HEADERS, 1, &POST), data(0, 1, &TEN), data(END_STREAM, 1, b"")],
        &["> request 1 POST", "> content 1 10", "> content 1 0 end"],
    );
    check(
        &[headers(END_HEADERS, 3, &POST), headers(BOTH, 3, &[("sum", "1")])],
        &["> request 3 POST", "> trailers 3 sum: 1\\r\\n"],
    );
    // Those of others go on beside them.
    check(
        &[
            headers(END_HEADERS, 1, &POST),
            headers(BOTH, 3, &GET),
            data(END_STREAM, 1, &TEN),
            headers(BOTH, 7, &GET),
            reset(3),
        ],
        &[
            "> request 1 POST",
            "> request 3 GET end",
            "> content 1 10 end",
            "> request 7 GET end",
            "> cancelled 3",
        ],
    );
}

#[test]
fn blocks_may_come_in_parts() {
    let block = block(&GET);
    let (first, rest) = block.split_at(5);
    let begun = frame(Kind::Headers, END_STREAM, 1, first);
    check(
        &[
            begun.clone(),
            frame(Kind::Continuation, 0, 1, rest),
            frame(Kind::Continuation, END_HEADERS, 1, b""),
        ],
        &["> request 1 GET end"],
    );
    // And nothing else comes between.
    for between in [
        headers(BOTH, 3, &GET),
        data(0, 1, &TEN),
        window_update(0, 1),
        frame(Kind::Continuation, END_HEADERS, 3, rest),
    ] {
        check(&[begun.clone(), between], &["< GOAWAY 1 PROTOCOL_ERROR"]);
    }
}

#[test]
fn padding_and_priority_are_passed_over() {
    let padded = [&[3][..], &block(&GET), &[0; 3]].concat();
    check(&[frame(Kind::Headers, BOTH | flag::PADDED, 1, &padded)], &["> request 1 GET end"]);
    let both = [&[2, 0, 0, 0, 9, 7][..], &block(&GET), &[0; 2]].concat();
    check(&[frame(Kind::Headers, BOTH | flag::PADDED | flag::PRIORITY, 1, &both)], &["> request 1 GET end"]);
    check(
        &[headers(END_HEADERS, 1, &POST), data(flag::PADDED | END_STREAM, 1, &[2, b'x', 0, 0])],
        &["> request 1 POST", "> content 1 1 end"],
    );
    check(
        &[headers(END_HEADERS, 1, &POST), data(flag::PADDED, 1, &[2, 0])],
        &["> request 1 POST", "< GOAWAY 1 PROTOCOL_ERROR"],
    );
    check(
        &[headers(END_HEADERS, 1, &POST), data(flag::PADDED, 1, &[])],
        &["> request 1 POST", "< GOAWAY 1 FRAME_SIZE_ERROR"],
    );
    check(&[frame(Kind::Headers, BOTH | flag::PRIORITY, 1, &[0; 4])], &["< GOAWAY 0 FRAME_SIZE_ERROR"]);
    check(&[frame(Kind::Priority, 0, 9, &[0; 5]), headers(BOTH, 1, &GET)], &["> request 1 GET end"]);
    // But nothing comes after itself.
    let circular = [&[0x80, 0, 0, 1, 7][..], &block(&GET)].concat();
    check(
        &[frame(Kind::Headers, BOTH | flag::PRIORITY, 1, &circular), headers(BOTH, 3, &GET)],
        &["> request 3 GET end", "< RST_STREAM 1 PROTOCOL_ERROR"],
    );
    check(
        &[headers(END_HEADERS, 1, &POST), frame(Kind::Headers, BOTH | flag::PRIORITY, 1, &circular)],
        &["> request 1 POST", "> cancelled 1", "< RST_STREAM 1 PROTOCOL_ERROR"],
    );
    check(&[frame(Kind::Priority, 0, 9, &[0, 0, 0, 9, 0])], &["< GOAWAY 0 PROTOCOL_ERROR"]);
}

#[test]
fn what_ends_a_connection() {
    let ping = |stream, length: usize| frame(Kind::Ping, 0, stream, &[0; 9][..length]);
    for (bytes, code) in [
        (frame(Kind::Data, 0, 0, &TEN), "PROTOCOL_ERROR"),
        (frame(Kind::Data, 0, 1, &TEN), "PROTOCOL_ERROR"),
        (headers(BOTH, 0, &GET), "PROTOCOL_ERROR"),
        (headers(BOTH, 2, &GET), "PROTOCOL_ERROR"),
        (reset(0), "PROTOCOL_ERROR"),
        (reset(1), "PROTOCOL_ERROR"),
        (window_update(1, 1), "PROTOCOL_ERROR"),
        (window_update(0, 0), "PROTOCOL_ERROR"),
        (window_update(0, 0x7fff_ffff), "FLOW_CONTROL_ERROR"),
        (frame(Kind::WindowUpdate, 0, 0, &[0; 3]), "FRAME_SIZE_ERROR"),
        (frame(Kind::Priority, 0, 0, &[0; 5]), "PROTOCOL_ERROR"),
        (frame(Kind::Priority, 0, 1, &[0; 4]), "FRAME_SIZE_ERROR"),
        (frame(Kind::PushPromise, END_HEADERS, 1, &[0; 4]), "PROTOCOL_ERROR"),
        (frame(Kind::Continuation, END_HEADERS, 1, &[]), "PROTOCOL_ERROR"),
        (ping(1, 8), "PROTOCOL_ERROR"),
        (ping(0, 7), "FRAME_SIZE_ERROR"),
        (ping(0, 9), "FRAME_SIZE_ERROR"),
        (frame(Kind::Goaway, 0, 1, &[0; 8]), "PROTOCOL_ERROR"),
        (frame(Kind::Goaway, 0, 0, &[0; 7]), "FRAME_SIZE_ERROR"),
        (frame(Kind::Settings, 0, 1, &[]), "PROTOCOL_ERROR"),
        (frame(Kind::Settings, 0, 0, &[0; 5]), "FRAME_SIZE_ERROR"),
        (frame(Kind::Settings, flag::ACK, 0, &[0; 6]), "FRAME_SIZE_ERROR"),
        (settings(&[(2, 2)]), "PROTOCOL_ERROR"),
        (settings(&[(4, 1 << 31)]), "FLOW_CONTROL_ERROR"),
        (settings(&[(5, 16_383)]), "PROTOCOL_ERROR"),
        (settings(&[(5, 1 << 24)]), "PROTOCOL_ERROR"),
        // An index that nothing is at.
        (frame(Kind::Headers, BOTH, 1, &[0xff, 0x20]), "COMPRESSION_ERROR"),
        // The head of a frame is enough: its payload is not waited for.
        (vec![0, 0x40, 1, 0, 0, 0, 0, 0, 1], "FRAME_SIZE_ERROR"),
        (b"GET / HTTP/1.1\r\n".to_vec(), "FRAME_SIZE_ERROR"),
    ] {
        let last = u32::from(bytes[3] == 1 && code == "COMPRESSION_ERROR");
        check(&[bytes], &[&format!("< GOAWAY {last} {code}")]);
    }
}

#[test]
fn what_comes_first() {
    let first = |bytes: &[u8]| {
        let mut talk = Talk { core: Connection::new(), fields: Fields::default(), now: 1, lines: vec![] };
        let goes_on = talk.say(bytes);
        (goes_on, talk.lines().split_off(2))
    };
    let with = |frame: Vec<u8>| [&PREFACE[..], &frame].concat();
    assert_eq!(first(&PREFACE[..23]), (true, vec![]));
    assert_eq!(first(PREFACE), (true, vec![]));
    let fails = |code: &str| (false, vec![format!("< GOAWAY 0 {code}")]);
    assert_eq!(first(b"PRI * HTTP/2.0\r\n\r\nSN"), fails("PROTOCOL_ERROR"));
    assert_eq!(first(b"GET"), fails("PROTOCOL_ERROR"));
    assert_eq!(first(&with(headers(BOTH, 1, &GET))), fails("PROTOCOL_ERROR"));
    assert_eq!(first(&with(frame(Kind::Ping, 0, 0, &[0; 8]))), fails("PROTOCOL_ERROR"));
    assert_eq!(first(&with(frame(Kind::Settings, flag::ACK, 0, &[]))), fails("PROTOCOL_ERROR"));
    assert_eq!(first(&with(settings(&[(3, 1)]))), (true, vec!["< SETTINGS ack".to_owned()]));
}

#[test]
fn what_is_answered_and_what_is_not() {
    check(&[frame(Kind::Ping, 0, 0, b"12345678")], &["< PING 12345678"]);
    check(&[frame(Kind::Ping, flag::ACK, 0, b"12345678")], &[]);
    check(&[settings(&[(1, 0), (3, 5), (6, 1), (0xf0, 3), (8, 1)])], &["< SETTINGS ack"]);
    check(&[frame(Kind::Goaway, 0, 0, &[0; 8]), headers(BOTH, 1, &GET)], &["> request 1 GET end"]);
    // A frame of an unknown type.
    let unknown = vec![0, 0, 1, 0x42, 0xff, 0, 0, 0, 1, b'x'];
    check(&[unknown, headers(BOTH, 1, &GET)], &["> request 1 GET end"]);
}

#[test]
fn what_ends_a_stream() {
    let over = |frames: &[Vec<u8>], code: &str| {
        let mut all = vec![headers(END_HEADERS, 1, &POST)];
        all.extend_from_slice(frames);
        // The connection goes on.
        all.push(headers(BOTH, 3, &GET));
        let mut expected = vec!["> request 1 POST", "> cancelled 1", "> request 3 GET end"];
        let reset = format!("< RST_STREAM 1 {code}");
        expected.push(&reset);
        check(&all, &expected);
    };
    over(&[window_update(1, 0)], "PROTOCOL_ERROR");
    over(&[window_update(1, 0x7fff_ffff)], "FLOW_CONTROL_ERROR");
    over(&[frame(Kind::Priority, 0, 1, &[0; 4])], "FRAME_SIZE_ERROR");
    // Trailers that are not the end, that steer, that pretend to be a head.
    over(&[headers(END_HEADERS, 1, &[("sum", "1")])], "PROTOCOL_ERROR");
    over(&[headers(BOTH, 1, &[("connection", "x")])], "PROTOCOL_ERROR");
    over(&[headers(BOTH, 1, &[(":path", "/")])], "PROTOCOL_ERROR");
    over(&[headers(BOTH, 1, &[("Sum", "1")])].map(|frame| upper(&frame)), "PROTOCOL_ERROR");

    // After its end nothing comes.
    check(
        &[headers(BOTH, 1, &POST), data(0, 1, &TEN)],
        &["> request 1 POST end", "> cancelled 1", "< RST_STREAM 1 STREAM_CLOSED"],
    );
    check(
        &[headers(BOTH, 1, &POST), headers(BOTH, 1, &[("sum", "1")])],
        &["> request 1 POST end", "> cancelled 1", "< RST_STREAM 1 STREAM_CLOSED"],
    );
}

/// Names are written in lower case; of clients that do not, this is one.
fn upper(frame: &[u8]) -> Vec<u8> {
    frame.iter().map(|&b| if b == b's' { b'S' } else { b }).collect()
}

#[test]
fn frames_after_the_end() {
    // We broke it off: the client may not know yet.
    check(
        &[
            headers(END_HEADERS, 1, &POST),
            window_update(1, 0),
            data(0, 1, &TEN),
            window_update(1, 1),
            headers(BOTH, 1, &[("sum", "1")]),
            reset(1),
        ],
        &["> request 1 POST", "> cancelled 1", "< RST_STREAM 1 PROTOCOL_ERROR"],
    );
    // The client ended it, and knows.
    for frame in [data(0, 1, &TEN), headers(BOTH, 1, &GET)] {
        check(
            &[headers(END_HEADERS, 1, &POST), reset(1), frame],
            &["> request 1 POST", "> cancelled 1", "< GOAWAY 1 STREAM_CLOSED"],
        );
    }
    check(
        &[headers(END_HEADERS, 1, &POST), reset(1), reset(1), window_update(1, 1)],
        &["> request 1 POST", "> cancelled 1"],
    );
    // It was passed over, and will never be.
    check(
        &[headers(BOTH, 5, &GET), headers(BOTH, 3, &GET)],
        &["> request 5 GET end", "< GOAWAY 5 PROTOCOL_ERROR"],
    );
}

#[test]
fn content_adds_up_to_its_length() {
    let post = |length: &'static str| [&POST[..], &[("content-length", length)]].concat();
    let begun = headers(END_HEADERS, 1, &post("10"));
    check(
        &[begun.clone(), data(0, 1, &TEN[..4]), data(END_STREAM, 1, &TEN[4..])],
        &["> request 1 POST", "> content 1 4", "> content 1 6 end"],
    );
    check(
        &[begun.clone(), data(0, 1, &TEN), data(END_STREAM, 1, b"")],
        &["> request 1 POST", "> content 1 10", "> content 1 0 end"],
    );
    check(
        &[begun.clone(), data(0, 1, &TEN), headers(BOTH, 1, &[("sum", "1")])],
        &["> request 1 POST", "> content 1 10", "> trailers 1 sum: 1\\r\\n"],
    );
    let wrong = ["> request 1 POST", "> cancelled 1", "< RST_STREAM 1 PROTOCOL_ERROR"];
    check(&[begun.clone(), data(END_STREAM, 1, &TEN[1..])], &wrong);
    check(&[begun.clone(), data(0, 1, &[0; 11])], &wrong);
    check(&[begun, headers(BOTH, 1, &[("sum", "1")])], &wrong);
    for (length, end, good) in [
        ("0", true, true),
        ("1", true, false),
        ("0", false, true),
        ("-1", false, false),
        ("1, 1", false, false),
    ] {
        let request = headers(if end { BOTH } else { END_HEADERS }, 1, &post(length));
        let line = if end { "> request 1 POST end" } else { "> request 1 POST" };
        check(&[request], &[if good { line } else { "< RST_STREAM 1 PROTOCOL_ERROR" }]);
    }
}

#[test]
fn as_many_streams_as_may_be() {
    let mut talk = Talk::new();
    for nth in 0..MAX_STREAMS as u32 {
        talk.say(&headers(END_HEADERS, 2 * nth + 1, &POST));
    }
    assert_eq!(talk.lines().len(), MAX_STREAMS);
    talk.say(&headers(BOTH, 301, &GET));
    assert_eq!(talk.lines(), ["< RST_STREAM 301 REFUSED_STREAM"]);
    talk.say(&[reset(1), headers(BOTH, 303, &GET)].concat());
    assert_eq!(talk.lines(), ["> cancelled 1", "> request 303 GET end"]);
}

#[test]
fn headers_that_are_too_large_are_answered() {
    let long = "x".repeat(9000);
    let many: Vec<_> = GET.iter().copied().chain((0..4).map(|_| ("x", long.as_str()))).collect();
    let block = block(&many);
    let parts: Vec<_> = block.chunks(MAX_FRAME).collect();
    assert_eq!(parts.len(), 2);
    let mut talk = Talk::new();
    // The second one shows that the table was followed.
    for (id, flags) in [(1, END_STREAM), (3, 0)] {
        talk.say(&frame(Kind::Headers, flags, id, parts[0]));
        talk.say(&frame(Kind::Continuation, END_HEADERS, id, parts[1]));
    }
    assert_eq!(talk.lines(), ["< HEADERS 1 end", "< HEADERS 3 end", "< RST_STREAM 3 NO_ERROR"]);
    assert_eq!((talk.core.take_mistakes(), talk.core.streams()), (2, 0));
}

#[test]
fn what_may_be_sent() {
    let mut talk = Talk::new();
    talk.say(&headers(BOTH, 1, &GET));
    talk.say(&headers(BOTH, 3, &GET));
    talk.core.send_headers(1, &block(&[(":status", "200")]), false);
    let content = vec![0; 70_000];
    assert_eq!(talk.core.send_content(1, &content, true), 65_535);
    assert_eq!(
        talk.lines()[2..],
        ["< HEADERS 1", "< DATA 1 16384", "< DATA 1 16384", "< DATA 1 16384", "< DATA 1 16383"]
    );
    // The stream has room, the connection has not.
    talk.say(&window_update(1, 100));
    assert!(talk.core.take_widened() && !talk.core.take_widened());
    assert_eq!((talk.core.room(1), talk.core.room(3)), (0, 0));
    talk.say(&window_update(0, 150));
    assert_eq!((talk.core.room(1), talk.core.room(3)), (100, 150));
    assert_eq!(talk.core.send_content(1, &content[65_535..], true), 100);
    assert_eq!(talk.lines(), ["< DATA 1 100"]);
    // What is left of a stream's window may be less than nothing.
    talk.say(&settings(&[(4, 10)]));
    assert_eq!((talk.core.room(1), talk.core.room(3)), (0, 10));
    talk.say(&window_update(1, 65_525));
    assert_eq!(talk.core.room(1), 0);
    talk.say(&window_update(1, 7));
    assert_eq!(talk.core.room(1), 7);
    talk.say(&settings(&[(4, 100_000)]));
    talk.say(&window_update(0, 1_000_000));
    assert_eq!((talk.core.room(1), talk.core.room(3)), (99_997, 100_000));
    talk.lines();
    assert_eq!(talk.core.send_content(1, &content[65_635..], true), 4_365);
    talk.core.send_headers(3, &block(&[(":status", "204")]), true);
    assert_eq!(talk.lines(), ["< DATA 1 4365 end", "< HEADERS 3 end"]);
    assert_eq!(talk.core.streams(), 0);
    // A window that would be too large for some stream.
    talk.say(&[headers(BOTH, 5, &GET), window_update(5, 0x7fff_ffff - 100_000)].concat());
    talk.lines();
    assert!(!talk.say(&settings(&[(4, 100_001)])));
    assert_eq!(talk.lines(), ["< GOAWAY 5 FLOW_CONTROL_ERROR"]);
}

#[test]
fn the_end_may_come_alone() {
    let mut talk = Talk::new();
    talk.say(&settings(&[(4, 0)]));
    talk.say(&headers(BOTH, 1, &GET));
    talk.lines();
    talk.core.send_headers(1, &block(&[(":status", "200")]), false);
    assert_eq!(talk.core.send_content(1, b"x", true), 0);
    assert_eq!(talk.core.send_content(1, b"", true), 0, "for nothing there is room");
    assert_eq!(talk.lines(), ["< HEADERS 1", "< DATA 1 0 end"]);
}

#[test]
fn an_answer_before_the_request_is_whole() {
    let mut talk = Talk::new();
    talk.say(&headers(END_HEADERS, 1, &POST));
    talk.core.send_headers(1, &block(&[(":status", "403")]), true);
    talk.say(&data(END_STREAM, 1, &TEN));
    assert_eq!(talk.lines(), ["> request 1 POST", "< HEADERS 1 end", "< RST_STREAM 1 NO_ERROR"]);
}

#[test]
fn long_blocks_are_sent_in_parts() {
    let mut talk = Talk::new();
    talk.say(&headers(BOTH, 1, &GET));
    talk.core.send_headers(1, &vec![0; 2 * MAX_FRAME + 1], true);
    assert_eq!(talk.lines()[1..], ["< HEADERS 1 end more", "< CONTINUATION 1 more", "< CONTINUATION 1"]);
}

#[test]
fn a_smaller_table_is_acknowledged_in_the_next_block() {
    let mut talk = Talk::new();
    talk.say(&[settings(&[(1, 4096)]), headers(BOTH, 1, &GET), headers(BOTH, 3, &GET)].concat());
    talk.say(&settings(&[(1, 0)]));
    talk.lines();
    talk.core.send_headers(1, &[0x88], true);
    talk.core.send_headers(3, &[0x88], true);
    let out = std::mem::take(talk.core.output());
    assert_eq!(
        out,
        [&[0, 0, 2, 1, 5, 0, 0, 0, 1, 0x20, 0x88][..], &[0, 0, 1, 1, 5, 0, 0, 0, 3, 0x88]].concat()
    );
}

#[test]
fn what_may_come() {
    let mut talk = Talk::new();
    talk.say(&headers(END_HEADERS, 1, &POST));
    talk.say(&headers(END_HEADERS, 3, &POST));
    let full = vec![0; MAX_FRAME];
    for _ in 0..8 {
        assert!(talk.say(&data(0, 1, &full)));
    }
    talk.lines();
    talk.say(&data(0, 1, b"x"));
    assert_eq!(
        talk.lines(),
        ["> cancelled 1", "< RST_STREAM 1 FLOW_CONTROL_ERROR", "< WINDOW_UPDATE 0 131073"]
    );
    // What was read may come again, a quarter at a time.
    talk.say(&data(0, 3, &full));
    talk.say(&data(0, 3, &full));
    talk.core.consumed(3, 2 * MAX_FRAME as u32 - 1);
    assert_eq!(talk.lines(), ["> content 3 16384", "> content 3 16384"]);
    talk.core.consumed(3, 1);
    assert_eq!(talk.lines(), ["< WINDOW_UPDATE 3 32768"]);
    talk.core.consumed(3, 1);
    assert!(talk.lines().is_empty(), "not more than came");
    // Padding is read at once.
    let mut padded = vec![255];
    padded.resize(256, 0);
    for _ in 0..128 {
        talk.say(&data(flag::PADDED, 3, &padded));
    }
    let lines = talk.lines();
    assert!(lines.contains(&"< WINDOW_UPDATE 3 32768".to_owned()), "{lines:?}");
}

#[test]
fn all_streams_together_have_a_window() {
    let mut talk = Talk::new();
    let full = vec![0; MAX_FRAME];
    for id in [1, 3, 5, 7, 9] {
        talk.say(&headers(END_HEADERS, id, &POST));
    }
    for id in [1, 3, 5, 7] {
        for _ in 0..8 {
            assert!(talk.say(&data(0, id, &full)));
        }
    }
    talk.lines();
    assert!(!talk.say(&data(0, 9, b"x")));
    assert_eq!(talk.lines(), ["< GOAWAY 9 FLOW_CONTROL_ERROR"]);
}

#[test]
fn going_away() {
    let mut talk = Talk::new();
    talk.say(&headers(END_HEADERS, 1, &POST));
    talk.core.go_away();
    talk.core.go_away();
    talk.say(&[headers(BOTH, 3, &GET), data(END_STREAM, 1, &TEN)].concat());
    assert_eq!(
        talk.lines(),
        ["> request 1 POST", "> content 1 10 end", "< GOAWAY 1 NO_ERROR", "< RST_STREAM 3 REFUSED_STREAM"]
    );
    assert!(talk.core.is_going());
}

/// What the client sent before it knew is taken up, and what its word that it knows has overtaken.
#[test]
fn going_away_in_good_time() {
    let mut talk = Talk::new();
    talk.say(&headers(END_HEADERS, 1, &POST));
    talk.core.say_farewell();
    talk.core.say_farewell();
    let others = frame(Kind::Ping, flag::ACK, 0, b"whatever");
    talk.say(&[others, headers(BOTH, 3, &GET)].concat());
    assert!(!talk.core.is_heard());
    let known = frame(Kind::Ping, flag::ACK, 0, b"farewell");
    talk.say(&[known, headers(BOTH, 5, &GET)].concat());
    assert!(talk.core.is_heard() && !talk.core.is_going());
    talk.core.go_away();
    talk.say(&[headers(BOTH, 7, &GET), data(END_STREAM, 1, &TEN)].concat());
    assert_eq!(
        talk.lines(),
        [
            "> request 1 POST",
            "> request 3 GET end",
            "> request 5 GET end",
            "> content 1 10 end",
            "< GOAWAY 2147483647 NO_ERROR",
            "< PING farewell",
            "< GOAWAY 5 NO_ERROR",
            "< RST_STREAM 7 REFUSED_STREAM"
        ]
    );
    // Once it is going there is no more time; and nobody knows what he was not told.
    let mut talk = Talk::new();
    talk.core.go_away();
    talk.core.say_farewell();
    talk.say(&frame(Kind::Ping, flag::ACK, 0, b"farewell"));
    assert!(!talk.core.is_heard());
    assert_eq!(talk.lines(), ["< GOAWAY 0 NO_ERROR"]);
}
