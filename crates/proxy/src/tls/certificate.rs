//! What a client's certificate says of its owner (RFC 5280 §4.1), in the forms of HAProxy's `ssl_c_*`.
//!
//! The certificate has been verified, so an authority that the listener believes has signed these bytes; they are read
//! with care all the same, and nothing of them gets into a header that could end it.

use aws_lc_rs::digest;

use crate::civil::Civil;

/// Bytes of a value that a header is given, at most; a longer one stays away.
pub const VALUE_MAX: usize = 8 << 10;

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const INTEGER: u8 = 0x02;
const OBJECT: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// `[0]`, constructed: the version of a certificate.
const VERSION: u8 = 0xa0;

/// Object identifiers, as they are encoded, and OpenSSL's short names for them.
const SHORT_NAMES: &[(&[u8], &str)] = &[
    (&[0x55, 0x04, 0x03], "CN"),
    (&[0x55, 0x04, 0x04], "SN"),
    (&[0x55, 0x04, 0x05], "serialNumber"),
    (&[0x55, 0x04, 0x06], "C"),
    (&[0x55, 0x04, 0x07], "L"),
    (&[0x55, 0x04, 0x08], "ST"),
    (&[0x55, 0x04, 0x09], "street"),
    (&[0x55, 0x04, 0x0a], "O"),
    (&[0x55, 0x04, 0x0b], "OU"),
    (&[0x55, 0x04, 0x0c], "title"),
    (&[0x55, 0x04, 0x0d], "description"),
    (&[0x55, 0x04, 0x0f], "businessCategory"),
    (&[0x55, 0x04, 0x11], "postalCode"),
    (&[0x55, 0x04, 0x29], "name"),
    (&[0x55, 0x04, 0x2a], "GN"),
    (&[0x55, 0x04, 0x2b], "initials"),
    (&[0x55, 0x04, 0x2c], "generationQualifier"),
    (&[0x55, 0x04, 0x2d], "x500UniqueIdentifier"),
    (&[0x55, 0x04, 0x2e], "dnQualifier"),
    (&[0x55, 0x04, 0x41], "pseudonym"),
    (&[0x55, 0x04, 0x61], "organizationIdentifier"),
    (&[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 0x01, 0x01], "UID"),
    (&[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 0x01, 0x19], "DC"),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x01], "emailAddress"),
    (&[0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0x37, 0x3c, 0x02, 0x01, 0x01], "jurisdictionL"),
    (&[0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0x37, 0x3c, 0x02, 0x01, 0x02], "jurisdictionST"),
    (&[0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0x37, 0x3c, 0x02, 0x01, 0x03], "jurisdictionC"),
];

/// A certificate, and where in it things are.
#[derive(Debug, Clone, Copy)]
pub struct ClientCertificate<'a> {
    der: &'a [u8],
    pub subject: Name<'a>,
    pub issuer: Name<'a>,
    not_before: Time<'a>,
    not_after: Time<'a>,
}

/// A distinguished name, as it is encoded.
#[derive(Debug, Clone, Copy)]
pub struct Name<'a>(&'a [u8]);

#[derive(Debug, Clone, Copy)]
struct Time<'a> {
    tag: u8,
    text: &'a [u8],
}

impl<'a> ClientCertificate<'a> {
    /// `None` for what is no certificate.
    pub fn read(der: &'a [u8]) -> Option<Self> {
        let (certificate, _) = content(der, SEQUENCE)?;
        let (mut rest, _) = content(certificate, SEQUENCE)?;
        if let Some((_, after)) = content(rest, VERSION) {
            rest = after;
        }
        let (_serial, rest) = content(rest, INTEGER)?;
        let (_algorithm, rest) = content(rest, SEQUENCE)?;
        let (issuer, rest) = content(rest, SEQUENCE)?;
        let (validity, rest) = content(rest, SEQUENCE)?;
        let (subject, _) = content(rest, SEQUENCE)?;
        let (not_before, after) = Time::read(validity)?;
        let (not_after, _) = Time::read(after)?;
        Some(Self { der, subject: Name(subject), issuer: Name(issuer), not_before, not_after })
    }

    /// Whether its time has come, and is not over; `now` is in seconds since 1970.
    pub fn is_valid_at(&self, now: u64) -> bool {
        let now = digits_of(now);
        let (from, to) = (self.not_before.digits(), self.not_after.digits());
        from.zip(to).is_some_and(|(from, to)| from <= now && now <= to)
    }

    /// When its time is over: the first of the seconds since 1970 in which it is not valid.
    pub(crate) fn ends(&self) -> Option<u64> {
        self.not_after.seconds()?.checked_add(1)
    }

    /// Of the whole certificate, in upper case.
    pub fn write_sha1(&self, out: &mut Vec<u8>) {
        const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
        let sum = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, self.der);
        out.extend(
            sum.as_ref()
                .iter()
                .flat_map(|byte| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]),
        );
    }

    /// `YYMMDDhhmmssZ`; nothing for a time that is not in this century.
    pub fn write_not_before(&self, out: &mut Vec<u8>) {
        self.not_before.write(out);
    }

    pub fn write_not_after(&self, out: &mut Vec<u8>) {
        self.not_after.write(out);
    }
}

impl<'a> Name<'a> {
    /// Types, as they are encoded, and values, whatever they are encoded in. What is damaged ends it.
    fn attributes(self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        let (mut sets, mut set) = (self.0, &[][..]);
        std::iter::from_fn(move || {
            if set.is_empty() {
                (set, sets) = content(sets, SET)?;
            }
            let (attribute, after) = content(set, SEQUENCE)?;
            set = after;
            let (kind, value) = content(attribute, OBJECT)?;
            let (_, value, _) = element(value)?;
            Some((kind, value))
        })
    }

    /// The first value under this name, of which case does not count (`CN`, `emailAddress`, `2.5.4.3`).
    pub fn value(self, name: &str) -> Option<&'a [u8]> {
        let mut known = Vec::new();
        self.attributes().find_map(|(kind, value)| {
            known.clear();
            write_kind(kind, &mut known);
            known.eq_ignore_ascii_case(name.as_bytes()).then_some(value)
        })
    }

    /// `/C=FR/O=Example/CN=alice`; nothing if it is longer than [`VALUE_MAX`].
    pub fn write(self, out: &mut Vec<u8>) {
        let start = out.len();
        for (kind, value) in self.attributes() {
            out.push(b'/');
            write_kind(kind, out);
            out.push(b'=');
            write_visible(value, out);
            if out.len() - start > VALUE_MAX {
                out.truncate(start);
                return;
            }
        }
    }

    /// As [`Name::value`], fit for a header.
    pub fn write_value(self, name: &str, out: &mut Vec<u8>) {
        if let Some(value) = self.value(name).filter(|value| value.len() <= VALUE_MAX) {
            write_visible(value, out);
        }
    }
}

impl<'a> Time<'a> {
    fn read(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (tag, text, rest) = element(bytes)?;
        matches!(tag, UTC_TIME | GENERALIZED_TIME).then_some((Self { tag, text }, rest))
    }

    /// `YYYYMMDDhhmmss`, which sorts by time; `None` for what is no time as certificates have it (RFC 5280 §4.1.2.5).
    fn digits(self) -> Option<[u8; 14]> {
        let text = self.text.strip_suffix(b"Z")?;
        let full: [u8; 14] = match (self.tag, text) {
            (GENERALIZED_TIME, text) => text.try_into().ok()?,
            (_, [b'0'..=b'4', ..]) => [b"20", text].concat().try_into().ok()?,
            (_, text) => [b"19", text].concat().try_into().ok()?,
        };
        full.iter().all(u8::is_ascii_digit).then_some(full)
    }

    /// Since 1970; `None` before that.
    fn seconds(self) -> Option<u64> {
        let digits = self.digits()?;
        let number = |digits: &[u8]| digits.iter().fold(0, |n, digit| n * 10 + u64::from(digit - b'0'));
        let [month, day, hour, minute, second] = [4, 6, 8, 10, 12].map(|at| number(&digits[at..at + 2]));
        Civil { year: number(&digits[..4]), month, day, hour, minute, second }.seconds()
    }

    fn write(self, out: &mut Vec<u8>) {
        let text = match (self.tag, self.text) {
            (GENERALIZED_TIME, [b'2', b'0', rest @ ..]) if rest.len() >= 10 => rest,
            (UTC_TIME, text @ [b'0'..=b'4', ..]) if text.len() >= 10 => text,
            _ => return,
        };
        if text.len() <= 32 {
            write_visible(text, out);
        }
    }
}

/// When a revocation list is out of date (RFC 5280 §5.1.2.5), in seconds since 1970; `None` if it does not say.
pub(crate) fn next_update(list: &[u8]) -> Option<u64> {
    let (list, _) = content(list, SEQUENCE)?;
    let (mut rest, _) = content(list, SEQUENCE)?;
    if let Some((_version, after)) = content(rest, INTEGER) {
        rest = after;
    }
    let (_algorithm, rest) = content(rest, SEQUENCE)?;
    let (_issuer, rest) = content(rest, SEQUENCE)?;
    let (_this, rest) = Time::read(rest)?;
    let (next, _) = Time::read(rest)?;
    next.seconds()
}

/// Seconds since 1970 as [`Time::digits`].
fn digits_of(seconds: u64) -> [u8; 14] {
    let Civil { year, month, day, hour, minute, second } = Civil::of(seconds);
    // A year of five digits is later than any that a certificate can name.
    let text = format!("{year:04}{month:02}{day:02}{hour:02}{minute:02}{second:02}");
    text.into_bytes().try_into().unwrap_or([b'9'; 14])
}

/// What could end a header, or be unseen in it, becomes a question mark.
fn write_visible(value: &[u8], out: &mut Vec<u8>) {
    out.extend(value.iter().map(|&byte| if byte < b' ' || byte == 0x7f { b'?' } else { byte }));
}

/// The short name of an object identifier, or its numbers with dots between them.
fn write_kind(kind: &[u8], out: &mut Vec<u8>) {
    use std::io::Write as _;

    if let Some((_, name)) = SHORT_NAMES.iter().find(|(known, _)| *known == kind) {
        out.extend_from_slice(name.as_bytes());
        return;
    }
    let mut number = 0u64;
    let mut first = true;
    for &byte in kind.iter().take(64) {
        number = number.saturating_mul(128).saturating_add(u64::from(byte & 0x7f));
        if byte & 0x80 != 0 {
            continue;
        }
        // The first two numbers are in one. Writing to a Vec cannot fail.
        let _ = match std::mem::take(&mut first) {
            true => {
                let root = (number / 40).min(2);
                write!(out, "{root}.{}", number - root * 40)
            }
            false => write!(out, ".{number}"),
        };
        number = 0;
    }
}

/// The content of an element with this tag, and what comes after it.
fn content(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, content, rest) = element(bytes)?;
    (found == tag).then_some((content, rest))
}

/// The element at the start: tag, content, and what comes after it. Tags of one byte, lengths of at most four (DER).
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, length], rest) = bytes.split_first_chunk()?;
    let (length, rest) = match length {
        0..=0x7f => (usize::from(length), rest),
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(length & 0x7f))?;
            (digits.iter().fold(0, |length, &digit| length << 8 | usize::from(digit)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, DnValue, KeyPair};

    use super::*;

    fn certificate(names: &[(DnType, &str)], years: (i32, i32)) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        for (kind, value) in names {
            params.distinguished_name.push(kind.clone(), DnValue::Utf8String((*value).to_owned()));
        }
        params.not_before = rcgen::date_time_ymd(years.0, 2, 3);
        params.not_after = rcgen::date_time_ymd(years.1, 12, 31);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    fn written(write: impl Fn(&mut Vec<u8>)) -> String {
        let mut out = vec![];
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_is_in_a_certificate() {
        let kind = |arcs: &[u64]| DnType::CustomDnType(arcs.to_vec());
        let der = certificate(
            &[
                (DnType::CountryName, "FR"),
                (DnType::OrganizationName, "a/b=c"),
                (kind(&[1, 2, 840, 113_549, 1, 9, 1]), "a@b.example"),
                (kind(&[1, 3, 6, 1, 4, 1, 99_999, 7]), "x"),
                (kind(&[0, 9, 2342, 19_200_300, 100, 1, 25]), "example"),
                (kind(&[2, 999, 1]), "é\r\n\u{7f}\0"),
                (DnType::CommonName, "alice"),
            ],
            (1999, 2050),
        );
        let read = ClientCertificate::read(&der).unwrap();
        let name =
            "/C=FR/O=a/b=c/emailAddress=a@b.example/1.3.6.1.4.1.99999.7=x/DC=example/2.999.1=é????/CN=alice";
        assert_eq!(written(|out| read.subject.write(out)), name);
        assert_eq!(written(|out| read.issuer.write(out)), name);
        for (key, value) in [
            ("CN", Some("alice")),
            ("cn", Some("alice")),
            ("EMAILADDRESS", Some("a@b.example")),
            ("1.3.6.1.4.1.99999.7", Some("x")),
            ("2.999.1", Some("é\r\n\u{7f}\0")),
            ("OU", None),
            ("", None),
        ] {
            assert_eq!(read.subject.value(key), value.map(str::as_bytes), "{key}");
        }
        assert_eq!(written(|out| read.subject.write_value("2.999.1", out)), "é????");
        assert_eq!(written(|out| read.write_not_before(out)), "", "of another century");
        assert_eq!(written(|out| read.write_not_after(out)), "501231000000Z");
        let sha1 = written(|out| read.write_sha1(out));
        assert!(
            sha1.len() == 40 && sha1.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_uppercase()),
            "{sha1}"
        );
    }

    #[test]
    fn times_are_compared() {
        for (seconds, digits) in [
            (0, "19700101000000"),
            (951_782_399, "20000228235959"),
            (951_782_400, "20000229000000"),
            (951_868_800, "20000301000000"),
            (1_709_210_096, "20240229123456"),
            (4_107_542_399, "21000228235959"),
            (4_107_542_400, "21000301000000"),
            (253_402_300_799, "99991231235959"),
            (253_402_300_800, "99999999999999"),
        ] {
            assert_eq!(digits_of(seconds), digits.as_bytes(), "{seconds}");
        }
        let der = certificate(&[(DnType::CommonName, "a")], (1999, 2050));
        let read = ClientCertificate::read(&der).unwrap();
        // 1999-02-03 and 2050-12-31.
        for (now, valid) in [
            (918_000_000, true),
            (917_999_999, false),
            (1_700_000_000, true),
            (2_556_057_600, true),
            (2_556_057_601, false),
            (u64::MAX, false),
        ] {
            assert_eq!(read.is_valid_at(now), valid, "{now}");
        }
        assert_eq!(read.ends(), Some(2_556_057_601));
        for text in [&b"Z"[..], b"", b"500101000000", b"50010100000Z", b"5001010000001Z", b"50010100000xZ"] {
            assert_eq!(Time { tag: UTC_TIME, text }.digits(), None, "{text:?}");
        }
        let time = |tag, text| Time { tag, text }.digits().unwrap();
        assert_eq!(&time(UTC_TIME, b"500101000000Z"), b"19500101000000");
        assert_eq!(&time(UTC_TIME, b"490101000000Z"), b"20490101000000");
        assert_eq!(&time(GENERALIZED_TIME, b"20500101000000Z"), b"20500101000000");
    }

    #[test]
    fn too_much_stays_away() {
        let long = "x".repeat(VALUE_MAX + 1);
        let der = certificate(&[(DnType::CountryName, "FR"), (DnType::CommonName, &long)], (2020, 2030));
        let read = ClientCertificate::read(&der).unwrap();
        assert_eq!(written(|out| read.subject.write(out)), "");
        assert_eq!(written(|out| read.subject.write_value("CN", out)), "");
        assert_eq!(read.subject.value("CN").map(<[u8]>::len), Some(VALUE_MAX + 1));
    }

    #[test]
    fn what_is_damaged() {
        let der = certificate(&[(DnType::CommonName, "alice")], (2020, 2030));
        for end in 0..120 {
            assert!(ClientCertificate::read(&der[..end]).is_none(), "{end}");
        }
        for bytes in [
            &[][..],
            &[0x30],
            &[0x30, 0x80, 0, 0],
            &[0x30, 0x85, 0, 0, 0, 0, 1, 0],
            &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff],
            &[0x30, 0x02, 0x30, 0x05],
        ] {
            assert!(ClientCertificate::read(bytes).is_none(), "{bytes:?}");
        }
        // A name that is damaged in the middle ends there.
        let good = [0x31, 0x0b, 0x30, 0x09, 0x06, 0x03, 0x55, 0x04, 0x06, 0x13, 0x02, b'F', b'R'];
        for (bytes, expected) in [
            (good.to_vec(), "/C=FR"),
            ([&good[..], &[0x31, 0x01, 0x30]].concat(), "/C=FR"),
            ([&good[..], &[0x30, 0x00], &good].concat(), "/C=FR"),
            ([&good[..], &[0x31, 0x00], &good].concat(), "/C=FR"),
            ([&good[..], &[0x31, 0x04, 0x30, 0x02, 0x06, 0x00], &good].concat(), "/C=FR"),
        ] {
            assert_eq!(written(|out| Name(&bytes).write(out)), expected);
        }
    }
}
