//! What authorities say of certificates: questions that `openssl ocsp` understands, and which of its answers are taken.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use octavia_tls::{OcspError, OcspQuestion, ocsp_question};
use rcgen::{CertificateParams, CustomExtension, DnType, ExtendedKeyUsagePurpose, KeyPair, SerialNumber};

use crate::kit::{Authority, authority, openssl};

const URL: &str = "http://ocsp.example.test/x";

/// `authorityInfoAccess` with these responders.
fn access(urls: &[&str]) -> CustomExtension {
    let element = |tag: u8, content: &[u8]| [&[tag, u8::try_from(content.len()).unwrap()], content].concat();
    let description = |url: &&str| {
        let method = [0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01];
        element(0x30, &[&method[..], &element(0x86, url.as_bytes())].concat())
    };
    let all: Vec<u8> = urls.iter().flat_map(description).collect();
    CustomExtension::from_oid_content(&[1, 3, 6, 1, 5, 5, 7, 1, 1], element(0x30, &all))
}

fn certificate(issuer: &Authority, serial: u64, urls: &[&str]) -> Vec<u8> {
    let mut params = CertificateParams::new(vec!["www.example.test".to_owned()]).unwrap();
    params.serial_number = Some(SerialNumber::from(serial));
    params.custom_extensions = if urls.is_empty() { vec![] } else { vec![access(urls)] };
    params.signed_by(&KeyPair::generate().unwrap(), issuer).unwrap().der().to_vec()
}

/// Who may, or may not, answer for an authority; as PEM with its key.
fn responder(issuer: &Authority, usages: Vec<ExtendedKeyUsagePurpose>, years: (i32, i32)) -> String {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "responder");
    params.extended_key_usages = usages;
    params.not_before = rcgen::date_time_ymd(years.0, 1, 1);
    params.not_after = rcgen::date_time_ymd(years.1, 1, 1);
    let key = KeyPair::generate().unwrap();
    format!("{}{}", params.signed_by(&key, issuer).unwrap().pem(), key.serialize_pem())
}

fn now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap()
}

/// The responder of an authority, for one answer.
struct Office<'a> {
    authority: &'a Authority,
    /// Lines of `openssl ca`'s index.
    index: &'a str,
    /// Who signs, as PEM with the key.
    signer: String,
    words: &'a str,
}

impl Office<'_> {
    fn answer(&self, question: &OcspQuestion) -> Vec<u8> {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, content: &[u8]| std::fs::write(dir.path().join(name), content).unwrap();
        write("ca.pem", self.authority.pem().as_bytes());
        write("signer.pem", self.signer.as_bytes());
        write("index.txt", self.index.as_bytes());
        write("question.der", question.request());
        let words = self.words;
        openssl(
            dir.path(),
            &format!(
                "ocsp -index index.txt -CA ca.pem -rsigner signer.pem -reqin question.der -respout answer.der {words}"
            ),
        );
        std::fs::read(dir.path().join("answer.der")).unwrap()
    }
}

const GOOD: &str = "V\t491231235959Z\t\t0D\tunknown\t/CN=www\n";
const REVOKED: &str = "R\t491231235959Z\t250101000000Z\t0D\tunknown\t/CN=www\n";

fn own(authority: &Authority) -> String {
    format!("{}{}", authority.pem(), authority.key().serialize_pem())
}

#[test]
fn who_is_asked() {
    let (root, other) = (authority("root", None), authority("other", None));
    // Of the same name, and not who has signed.
    let namesake = authority("root", None);
    let leaf = |urls: &[&str]| certificate(&root, 13, urls);
    let long = format!("http://{}", "a".repeat(90));
    let named = leaf(&[URL]);
    let strange = leaf(&["https://a/", "ldap://a/", "ftp://a/", "file:///etc"]);
    let several = leaf(&["HTTP://a/", "http://b/", "http://c/"]);
    let (none, great) = (leaf(&[]), leaf(&[&long]));
    let [root, other, namesake]: [&[u8]; 3] = [root.der(), other.der(), namesake.der()];
    let cases: &[(&[&[u8]], &[&str])] = &[
        (&[&named, root], &[URL]),
        (&[&named, root, other], &[URL]),
        (&[&named], &[]),
        (&[&named, other], &[]),
        (&[&named, namesake], &[]),
        (&[], &[]),
        (&[b"no certificate", root], &[]),
        (&[&none, root], &[]),
        (&[&strange, root], &[]),
        (&[&several, root], &["HTTP://a/", "http://b/"]),
        (&[&great, root], &[&long]),
    ];
    for (chain, urls) in cases {
        let question = ocsp_question(chain.iter().copied());
        assert_eq!(question.as_ref().map_or(&[][..], OcspQuestion::urls), *urls);
    }
}

fn asked(leaf: &[u8], issuer: &Authority) -> OcspQuestion {
    let issuer: &[u8] = issuer.der();
    ocsp_question([leaf, issuer]).unwrap()
}

#[test]
fn whose_word_is_taken() {
    use ExtendedKeyUsagePurpose::{OcspSigning, ServerAuth};

    let (root, other) = (authority("root", None), authority("other", None));
    let leaf = certificate(&root, 13, &[URL]);
    let question = asked(&leaf, &root);
    let signing = || vec![OcspSigning];
    let days = "-ndays 4";
    let office = |signer, index, words| Office { authority: &root, index, signer, words };
    for (what, office, expected) in [
        ("the issuer", office(own(&root), GOOD, days), Ok(())),
        ("the issuer, by its key", office(own(&root), GOOD, "-ndays 4 -resp_key_id"), Ok(())),
        ("the issuer, who brings nothing", office(own(&root), GOOD, "-ndays 4 -resp_no_certs"), Ok(())),
        ("who it has named", office(responder(&root, signing(), (2020, 2040)), GOOD, days), Ok(())),
        (
            "who it has named, by its key",
            office(responder(&root, signing(), (2020, 2040)), GOOD, "-ndays 4 -resp_key_id"),
            Ok(()),
        ),
        (
            "who it has named, and who is not there",
            office(responder(&root, signing(), (2020, 2040)), GOOD, "-ndays 4 -resp_no_certs"),
            Err(OcspError::Signature),
        ),
        (
            "who it had named",
            office(responder(&root, signing(), (2020, 2021)), GOOD, days),
            Err(OcspError::Signature),
        ),
        (
            "who it has named for something else",
            office(responder(&root, vec![ServerAuth], (2020, 2040)), GOOD, days),
            Err(OcspError::Signature),
        ),
        (
            "who another has named",
            office(responder(&other, signing(), (2020, 2040)), GOOD, days),
            Err(OcspError::Signature),
        ),
        ("another", office(own(&other), GOOD, days), Err(OcspError::Signature)),
        ("that it is revoked", office(own(&root), REVOKED, days), Err(OcspError::Revoked)),
        // Anybody could say that.
        ("that it is revoked, says another", office(own(&other), REVOKED, days), Err(OcspError::Signature)),
        ("that it is not known", office(own(&root), "", days), Err(OcspError::Unknown)),
        ("no end", office(own(&root), GOOD, ""), Err(OcspError::Endless)),
    ] {
        let answer = office.answer(&question);
        let judged = question.judge(&answer, now());
        assert_eq!(judged.as_ref().map(drop).map_err(|error| *error), expected, "{what}");
        if let Ok(judged) = judged {
            assert_eq!((judged.der, judged.until - judged.since), (answer, 4 * 86_400), "{what}");
        }
    }
}

#[test]
fn when_it_is_taken_and_of_what() {
    let root = authority("root", None);
    let question = |serial| asked(&certificate(&root, serial, &[URL]), &root);
    let own_question = question(13);
    let office = Office { authority: &root, index: GOOD, signer: own(&root), words: "-ndays 4" };
    let answer = office.answer(&own_question);
    let since = own_question.judge(&answer, now()).unwrap().since;
    for (after, expected) in [
        (-301, Some(OcspError::Time)),
        (-300, None),
        (0, None),
        (4 * 86_400 - 1, None),
        (4 * 86_400, Some(OcspError::Time)),
        (i64::MAX - since, Some(OcspError::Time)),
        (-since, Some(OcspError::Time)),
    ] {
        assert_eq!(own_question.judge(&answer, since + after).err(), expected, "{after}");
    }
    // Of others, whoever has asked.
    assert_eq!(question(14).judge(&answer, since), Err(OcspError::Other));
    let namesake = authority("root", None);
    let leaf = certificate(&namesake, 13, &[URL]);
    let question = asked(&leaf, &namesake);
    assert_eq!(question.judge(&answer, since), Err(OcspError::Other));
}

#[test]
fn what_is_damaged_is_not_taken() {
    let root = authority("root", None);
    let leaf = certificate(&root, 13, &[URL]);
    let question = asked(&leaf, &root);
    let office =
        Office { authority: &root, index: GOOD, signer: own(&root), words: "-ndays 4 -resp_no_certs" };
    let answer = office.answer(&question);
    let now = now();
    assert!(question.judge(&answer, now).is_ok());
    for end in 0..answer.len() {
        assert!(question.judge(&answer[..end], now).is_err(), "{end}");
        for flip in [0x01, 0x20, 0x80] {
            let mut changed = answer.clone();
            changed[end] ^= flip;
            if let Ok(judged) = question.judge(&changed, now) {
                panic!("{end} {flip}: {judged:?}");
            }
        }
    }
    assert_eq!(question.judge(&[&answer[..], b"x"].concat(), now), Err(OcspError::Damaged));
    assert_eq!(question.judge(&vec![0x30; 70_000], now), Err(OcspError::Damaged));
    assert_eq!(question.judge(&[0x30, 3, 0x0a, 1, 6], now), Err(OcspError::Refused(6)));
    assert_eq!(question.judge(b"", now), Err(OcspError::Damaged));
}

/// Asks by itself, so that nothing of the above is between.
#[test]
fn the_question_is_that_of_openssl() {
    let root = authority("root", None);
    let leaf = certificate(&root, 0xf00d_cafe, &[URL]);
    let question = asked(&leaf, &root);
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "ca.pem", root.pem().as_bytes());
    write(dir.path(), "leaf.der", &leaf);
    openssl(dir.path(), "x509 -inform DER -in leaf.der -out leaf.pem");
    openssl(dir.path(), "ocsp -issuer ca.pem -cert leaf.pem -no_nonce -reqout question.der");
    assert_eq!(std::fs::read(dir.path().join("question.der")).unwrap(), question.request());
}

fn write(dir: &Path, name: &str, content: &[u8]) {
    std::fs::write(dir.join(name), content).unwrap();
}
