//! The examples of RFC 7541 Appendix C, and what decoders have fallen over.

use super::*;
use crate::http2::{MAX_FIELDS, MAX_LIST};

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<_> = hex.chars().filter_map(|c| c.to_digit(16)).collect();
    digits.chunks(2).map(|pair| (pair[0] << 4 | pair[1]) as u8).collect()
}

fn text(fields: &Fields) -> Vec<String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    fields.iter().map(|(name, value)| [text(name), text(value)].join(": ")).collect()
}

/// Decodes each block after the one before; of each there are the fields, and the entries and size of the table after.
fn check(blocks: &[(&str, &[&str], &[&str], usize)]) {
    let (mut decoder, mut fields) = (Decoder::default(), Fields::default());
    for (block, expected, table, size) in blocks {
        decoder.decode(&bytes(block), &mut fields).unwrap();
        assert_eq!(text(&fields), *expected);
        assert_eq!((decoder.table().fields(), decoder.table().size()), (as_owned(table), *size), "{block}");
    }
}

fn as_owned(table: &[&str]) -> Vec<String> {
    table.iter().map(|&entry| entry.to_owned()).collect()
}

#[test]
fn examples_of_one_field() {
    let field = "custom-key: custom-header";
    check(&[("400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572", &[field], &[field], 55)]);
    check(&[("040c 2f73 616d 706c 652f 7061 7468", &[":path: /sample/path"], &[], 0)]);
    check(&[("1008 7061 7373 776f 7264 0673 6563 7265 74", &["password: secret"], &[], 0)]);
    check(&[("82", &[":method: GET"], &[], 0)]);
}

#[test]
fn examples_of_requests() {
    let first = [":method: GET", ":scheme: http", ":path: /", ":authority: www.example.com"];
    let second = [
        ":method: GET",
        ":scheme: http",
        ":path: /",
        ":authority: www.example.com",
        "cache-control: no-cache",
    ];
    let third = [
        ":method: GET",
        ":scheme: https",
        ":path: /index.html",
        ":authority: www.example.com",
        "custom-key: custom-value",
    ];
    let table = ["custom-key: custom-value", "cache-control: no-cache", ":authority: www.example.com"];
    for blocks in [
        [
            "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
            "8286 84be 5808 6e6f 2d63 6163 6865",
            "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
        ],
        [
            "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
            "8286 84be 5886 a8eb 1064 9cbf",
            "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
        ],
    ] {
        check(&[
            (blocks[0], &first, &table[2..], 57),
            (blocks[1], &second, &table[1..], 110),
            (blocks[2], &third, &table, 164),
        ]);
    }
}

/// The table has 256 bytes in them, of which the first block is told.
#[test]
fn examples_of_responses_that_evict() {
    let (private, location) = ("cache-control: private", "location: https://www.example.com");
    let (earlier, later) = ("date: Mon, 21 Oct 2013 20:13:21 GMT", "date: Mon, 21 Oct 2013 20:13:22 GMT");
    let cookie = "set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1";
    let gzip = "content-encoding: gzip";
    for blocks in [
        [
            "3fe101 4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 \
             3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
            "4803 3330 37c1 c0bf",
            "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970 \
             7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61 \
             6765 3d33 3630 303b 2076 6572 7369 6f6e 3d31",
        ],
        [
            "3fe101 4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d \
             29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
            "4883 640e ffc1 c0bf",
            "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 \
             e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07",
        ],
    ] {
        check(&[
            (
                blocks[0],
                &[":status: 302", private, earlier, location],
                &[location, earlier, private, ":status: 302"],
                222,
            ),
            (
                blocks[1],
                &[":status: 307", private, earlier, location],
                &[":status: 307", location, earlier, private],
                222,
            ),
            (
                blocks[2],
                &[":status: 200", private, later, location, gzip, cookie],
                &[cookie, gzip, later],
                215,
            ),
        ]);
    }
}

#[test]
fn numbers() {
    for (value, prefix, hex) in [
        (10, 5, "0a"),
        (1337, 5, "1f 9a 0a"),
        (30, 5, "1e"),
        (31, 5, "1f 00"),
        (158, 5, "1f 7f"),
        (159, 5, "1f 80 01"),
    ] {
        let mut out = vec![];
        encode::write_integer(value, prefix, 0, &mut out);
        assert_eq!(out, bytes(hex), "{value}");
    }
}

#[test]
fn broken_blocks() {
    for (block, said) in [
        ("80", "a field that is in no table"),
        ("be", "a field that is in no table"),
        ("ff ff ff ff 0f", "a number that is too long"),
        ("ff ff ff ff ff ff ff ff ff ff 7f", "a number that is too long"),
        ("7f", "it is cut"),
        ("40", "it is cut"),
        ("40 01", "it is cut"),
        ("40 01 78", "it is cut"),
        ("40 01 78 02 79", "it is cut"),
        ("40 01 78 7f ff ff 7f", "it is cut"),
        ("7e 00", "a field that is in no table"),
        // A table larger than we let it be; a size after a field.
        ("3f e2 1f", "a size of the table that it may not have"),
        ("82 20", "a size of the table that it may not have"),
        // Padding of a whole byte, with a zero in it, and the end of a string in the middle of one.
        ("00 01 78 82 1f ff", "the padding of a Huffman code"),
        ("00 01 78 81 00", "the padding of a Huffman code"),
        ("00 01 78 81 1e", "the padding of a Huffman code"),
        ("00 01 78 84 ff ff ff fc", "the end of a string within it"),
    ] {
        let found = Decoder::default().decode(&bytes(block), &mut Fields::default());
        assert_eq!(found, Err(Undecodable(said)), "{block}");
    }
    // The largest table there may be, twice.
    Decoder::default().decode(&bytes("20 3f e1 1f 82"), &mut Fields::default()).unwrap();
}

#[test]
fn huffman_knows_every_byte() {
    let all: Vec<u8> = (0..=255).collect();
    for text in all.chunks(1).chain([&all[..], b"", b"www.example.com"]) {
        let (mut coded, mut again) = (vec![], vec![]);
        huffman::encode(text, &mut coded);
        assert_eq!(coded.len(), huffman::encoded_len(text));
        huffman::decode(&coded, &mut again).unwrap();
        assert_eq!(again, text);
    }
}

#[test]
fn what_we_write_is_read() {
    let long = "long ".repeat(40);
    let mut block = vec![];
    for status in [200, 204, 206, 304, 400, 404, 500, 418, 103] {
        encode_status(status, &mut block);
    }
    let statuses = block.len();
    encode_field(b"Content-Type", b"text/html", &mut block);
    encode_field(b"SET-COOKIE", b"a=b", &mut block);
    encode_field(b"X-Some-Name-That-Is-Longer-Than-Any-Known", b"", &mut block);
    let short = block.len();
    encode_field(b"x", long.as_bytes(), &mut block);
    assert!(block.len() < short + long.len(), "Huffman makes it shorter");
    assert_eq!(statuses, 7 + 2 * 5);
    // Never to be indexed.
    assert_eq!(block[statuses + 12], 0x1f);
    let (mut decoder, mut fields) = (Decoder::default(), Fields::default());
    decoder.decode(&block, &mut fields).unwrap();
    let long = format!("x: {long}");
    let expected = [
        ":status: 200",
        ":status: 204",
        ":status: 206",
        ":status: 304",
        ":status: 400",
        ":status: 404",
        ":status: 500",
        ":status: 418",
        ":status: 103",
        "content-type: text/html",
        "set-cookie: a=b",
        "x-some-name-that-is-longer-than-any-known: ",
        &long,
    ];
    assert_eq!(text(&fields), expected);
    assert_eq!(decoder.table().size(), 0);
}

#[test]
fn lists_that_are_too_large_are_followed_and_not_kept() {
    let decode = |block: &[u8]| {
        let (mut decoder, mut fields) = (Decoder::default(), Fields::default());
        let result = decoder.decode(block, &mut fields);
        (result, fields, decoder)
    };
    // A field of 4000 bytes that is entered once, and named again by one byte each time.
    let mut bomb = vec![0x40, 1, b'x', 0x7f, 0xa1, 0x1e];
    bomb.resize(bomb.len() + 4000, b'y');
    bomb.extend([0xbe; 7]);
    let (result, fields, _) = decode(&bomb);
    assert!(result.is_ok() && !fields.is_too_large() && fields.len() == 8);
    bomb.push(0xbe);
    bomb.extend(b"\x40\x01z\x01z");
    let (result, fields, decoder) = decode(&bomb);
    assert!(result.is_ok() && fields.is_too_large() && fields.len() == 8);
    assert_eq!(decoder.table().fields()[0], "z: z", "the table has what came after it");
    bomb.extend([0xbf; 64]);
    assert_eq!(decode(&bomb).0, Err(Undecodable("far more fields than may be")));

    let (result, fields, _) = decode(&[0x82; MAX_FIELDS]);
    assert!(result.is_ok() && !fields.is_too_large());
    let (result, fields, _) = decode(&[0x82; MAX_FIELDS + 1]);
    assert!(result.is_ok() && fields.is_too_large() && fields.len() == MAX_FIELDS);
    const { assert!(MAX_FIELDS * 42 < MAX_LIST) };
}
