//! What an authority says of a certificate now (OCSP, RFC 6960): how it is asked, and whether an answer is to be believed.
//!
//! Where to ask is said in the certificate, which a user wrote, and the answer comes from there: so both are a stranger's
//! words. An answer is good that the issuer has signed, or who it has named for that (§4.2.2.2), of this certificate, for
//! now; nothing else is shown to clients.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use x509_parser::asn1_rs::BitString;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::oid_registry::OID_PKIX_ACCESS_DESCRIPTOR_OCSP;
use x509_parser::prelude::FromDer;
use x509_parser::time::ASN1Time;
use x509_parser::verify::verify_signature;
use x509_parser::x509::AlgorithmIdentifier;

use crate::certificate;

/// Bytes of an answer at most.
pub const OCSP_MAX: usize = 64 << 10;
/// Bytes of an address at most, and addresses of one certificate that are looked at.
const URL_MAX: usize = 1_024;
const URLS_MAX: usize = 2;
/// Certificates that an answer may bring, and certificates that it may be about.
const CERTIFICATES_MAX: usize = 4;
const ANSWERS_MAX: usize = 64;
/// Seconds by which its clock may be ahead of ours.
const SKEW: i64 = 300;

const SEQUENCE: u8 = 0x30;
const OCTETS: u8 = 0x04;
const BITS: u8 = 0x03;
const OBJECT: u8 = 0x06;
const INTEGER: u8 = 0x02;
const BOOLEAN: u8 = 0x01;
const ENUMERATED: u8 = 0x0a;
/// `[0]`, `[1]`, `[2]`, constructed.
const ZERO: u8 = 0xa0;
const ONE: u8 = 0xa1;
const TWO: u8 = 0xa2;
/// `[0]`, primitive: the certificate is good.
const GOOD: u8 = 0x80;
const REVOKED: u8 = 0xa1;

/// SHA-1, by which certificates are called, as all responders know it. Nothing is believed for it.
const SHA1: &[u8] = &[0x2b, 0x0e, 0x03, 0x02, 0x1a];
/// A basic response (§4.2.1).
const BASIC: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x01];

/// A question about a certificate, and who may answer it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OcspQuestion {
    urls: Vec<String>,
    request: Vec<u8>,
    name_hash: Vec<u8>,
    key_hash: Vec<u8>,
    serial: Vec<u8>,
    issuer: Vec<u8>,
}

/// An answer that says that the certificate is good. Times are in seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OcspAnswer {
    /// The whole response, as clients are shown it.
    pub der: Vec<u8>,
    pub since: i64,
    /// It says nothing from here on; later than `since`.
    pub until: i64,
}

/// Why an answer is not shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OcspError {
    #[error("it is no OCSP response")]
    Damaged,
    #[error("the responder refuses (status {0})")]
    Refused(u8),
    #[error("it is of a kind that is not known")]
    Kind,
    #[error("it has a critical extension that is not known")]
    Critical,
    #[error("it is about another certificate")]
    Other,
    #[error("the certificate is revoked")]
    Revoked,
    #[error("the certificate is not known there")]
    Unknown,
    #[error("it is not of this time")]
    Time,
    #[error("it does not say until when it holds")]
    Endless,
    #[error("neither the issuer nor who it has named has signed it")]
    Signature,
}

/// What there is to ask about the first certificate of a chain; `None` if it names no responder, or its issuer does not
/// follow.
pub fn ocsp_question<'a>(chain: impl IntoIterator<Item = &'a [u8]>) -> Option<OcspQuestion> {
    let mut chain = chain.into_iter();
    let (own, issuer_der) = (certificate::parse(chain.next()?).ok()?, chain.next()?);
    let issuer = certificate::parse(issuer_der).ok()?;
    if own.issuer().as_raw() != issuer.subject().as_raw()
        || own.verify_signature(Some(issuer.public_key())).is_err()
    {
        return None;
    }
    let urls = responders(&own);
    if urls.is_empty() {
        return None;
    }
    let name_hash = sha1(issuer.subject().as_raw());
    let key_hash = sha1(&issuer.public_key().subject_public_key.data);
    let serial = own.raw_serial().to_vec();
    let algorithm = put(SEQUENCE, &[put(OBJECT, &[SHA1]).as_slice(), &[0x05, 0x00]]);
    let parts = [algorithm, put(OCTETS, &[&name_hash]), put(OCTETS, &[&key_hash]), put(INTEGER, &[&serial])];
    let request = [SEQUENCE; 5].iter().fold(parts.concat(), |inner, tag| put(*tag, &[&inner]));
    Some(OcspQuestion { urls, request, name_hash, key_hash, serial, issuer: issuer_der.to_vec() })
}

impl OcspQuestion {
    /// Where to ask, one after the other: what the certificate says, be it what it may.
    pub fn urls(&self) -> &[String] {
        &self.urls
    }

    /// To be sent by POST as `application/ocsp-request` (appendix A).
    pub fn request(&self) -> &[u8] {
        &self.request
    }

    /// Different for each question, and for each who may answer it.
    pub fn id(&self) -> [u8; 32] {
        let all = [&self.request[..], &self.issuer].concat();
        let mut id = [0; 32];
        id.copy_from_slice(digest(&SHA256, &all).as_ref());
        id
    }

    /// What an answer is worth at a time in seconds since 1970.
    pub fn judge(&self, answer: &[u8], now: i64) -> Result<OcspAnswer, OcspError> {
        let basic = basic(answer)?;
        let (tbs, rest) = basic.element().ok_or(OcspError::Damaged)?;
        let response = Response::read(tbs)?;
        let said = response.about(self)?;
        let issuer = certificate::parse(&self.issuer).map_err(|_| OcspError::Signature)?;
        verify(&issuer, &response, tbs.whole, rest, now)?;
        let (since, until) = judge_answer(said)?;
        match until {
            None => Err(OcspError::Endless),
            Some(until) if since <= now.saturating_add(SKEW) && now < until && since < until => {
                Ok(OcspAnswer { der: answer.to_vec(), since, until })
            }
            Some(_) => Err(OcspError::Time),
        }
    }
}

/// What the certificate says in `authorityInfoAccess`, of what can be asked here.
fn responders(certificate: &X509Certificate<'_>) -> Vec<String> {
    let mut urls = vec![];
    for extension in certificate.extensions() {
        let ParsedExtension::AuthorityInfoAccess(access) = extension.parsed_extension() else { continue };
        for description in &access.accessdescs {
            if let GeneralName::URI(url) = &description.access_location
                && description.access_method == OID_PKIX_ACCESS_DESCRIPTOR_OCSP
                && url.len() <= URL_MAX
                && url.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("http://"))
            {
                urls.push((*url).to_owned());
            }
        }
    }
    urls.truncate(URLS_MAX);
    urls
}

/// What is in a response that is one: `BasicOCSPResponse`.
fn basic(answer: &[u8]) -> Result<Der<'_>, OcspError> {
    if answer.len() > OCSP_MAX {
        return Err(OcspError::Damaged);
    }
    let damaged = || OcspError::Damaged;
    let (response, rest) = Der(answer).take(SEQUENCE).ok_or_else(damaged)?;
    let (status, response) = response.take(ENUMERATED).ok_or_else(damaged)?;
    match *status.0 {
        _ if !rest.0.is_empty() => return Err(damaged()),
        [0] => {}
        [status] => return Err(OcspError::Refused(status)),
        _ => return Err(damaged()),
    }
    let (bytes, _) = response.take(ZERO).and_then(|(bytes, _)| bytes.take(SEQUENCE)).ok_or_else(damaged)?;
    let (kind, bytes) = bytes.take(OBJECT).ok_or_else(damaged)?;
    if kind.0 != BASIC {
        return Err(OcspError::Kind);
    }
    let (basic, _) = bytes.take(OCTETS).and_then(|(octets, _)| octets.take(SEQUENCE)).ok_or_else(damaged)?;
    Ok(basic)
}

/// What is signed.
struct Response<'a> {
    signer: Signer<'a>,
    answers: Der<'a>,
}

/// Who says that it has signed.
enum Signer<'a> {
    Name(&'a [u8]),
    KeyHash(&'a [u8]),
}

impl<'a> Response<'a> {
    fn read(tbs: Element<'a>) -> Result<Self, OcspError> {
        let mut rest = Some(tbs).filter(|tbs| tbs.tag == SEQUENCE).ok_or(OcspError::Damaged)?.content;
        if let Some((_version, after)) = rest.take(ZERO) {
            rest = after;
        }
        let read = || {
            let (signer, rest) = rest.element()?;
            let signer = match signer.tag {
                ONE => Signer::Name(signer.content.0),
                TWO => Signer::KeyHash(signer.content.take(OCTETS)?.0.0),
                _ => return None,
            };
            let (_produced, rest) = rest.element()?;
            let (answers, rest) = rest.take(SEQUENCE)?;
            Some((Self { signer, answers }, rest))
        };
        let (response, rest) = read().ok_or(OcspError::Damaged)?;
        refuse_critical(rest)?;
        Ok(response)
    }

    /// What it says of the certificate.
    fn about(&self, question: &OcspQuestion) -> Result<Der<'a>, OcspError> {
        let mut answers = self.answers;
        for _ in 0..ANSWERS_MAX {
            let Some((answer, after)) = answers.take(SEQUENCE) else { break };
            answers = after;
            let (id, rest) = answer.take(SEQUENCE).ok_or(OcspError::Damaged)?;
            if is_called(id, question).ok_or(OcspError::Damaged)? {
                return Ok(rest);
            }
        }
        Err(OcspError::Other)
    }
}

fn is_called(id: Der<'_>, question: &OcspQuestion) -> Option<bool> {
    let (algorithm, id) = id.take(SEQUENCE)?;
    let (algorithm, _) = algorithm.take(OBJECT)?;
    let (name, id) = id.take(OCTETS)?;
    let (key, id) = id.take(OCTETS)?;
    let (serial, _) = id.take(INTEGER)?;
    let called = [algorithm.0, name.0, key.0, serial.0];
    Some(called == [SHA1, &question.name_hash, &question.key_hash, &question.serial])
}

/// When what is said of a certificate begins and ends; that has to be good.
fn judge_answer(answer: Der<'_>) -> Result<(i64, Option<i64>), OcspError> {
    let (status, rest) = answer.element().ok_or(OcspError::Damaged)?;
    match status.tag {
        GOOD => {}
        REVOKED => return Err(OcspError::Revoked),
        _ => return Err(OcspError::Unknown),
    }
    let (since, mut rest) = time(rest).ok_or(OcspError::Damaged)?;
    let mut until = None;
    if let Some((next, after)) = rest.take(ZERO) {
        until = Some(time(next).ok_or(OcspError::Damaged)?.0);
        rest = after;
    }
    refuse_critical(rest)?;
    Ok((since, until))
}

/// `[1]` with extensions, if it is there: none may be critical.
fn refuse_critical(rest: Der<'_>) -> Result<(), OcspError> {
    let Some((extensions, _)) = rest.take(ONE) else { return Ok(()) };
    let (mut extensions, _) = extensions.take(SEQUENCE).ok_or(OcspError::Damaged)?;
    while let Some((extension, after)) = extensions.take(SEQUENCE) {
        let (_, rest) = extension.take(OBJECT).ok_or(OcspError::Damaged)?;
        if rest.take(BOOLEAN).is_some_and(|(critical, _)| critical.0 != [0]) {
            return Err(OcspError::Critical);
        }
        extensions = after;
    }
    Ok(())
}

/// `rest` is what follows what is signed: algorithm, signature, and perhaps certificates.
fn verify(
    issuer: &X509Certificate<'_>,
    response: &Response<'_>,
    signed: &[u8],
    rest: Der<'_>,
    now: i64,
) -> Result<(), OcspError> {
    let damaged = || OcspError::Damaged;
    let (algorithm, rest) = rest.element().filter(|(it, _)| it.tag == SEQUENCE).ok_or_else(damaged)?;
    let (signature, rest) = rest.element().filter(|(it, _)| it.tag == BITS).ok_or_else(damaged)?;
    // The parser takes other tags for that of an object, too.
    algorithm.content.take(OBJECT).ok_or_else(damaged)?;
    let (_, algorithm) = AlgorithmIdentifier::from_der(algorithm.whole).map_err(|_| damaged())?;
    let (_, signature) = BitString::from_der(signature.whole).map_err(|_| damaged())?;
    if signature.unused_bits != 0 {
        return Err(damaged());
    }
    let has_signed = |by: &X509Certificate<'_>| {
        response.signer.is(by) && verify_signature(by.public_key(), &algorithm, &signature, signed).is_ok()
    };
    if has_signed(issuer) {
        return Ok(());
    }
    let certificates = rest.take(ZERO).and_then(|(all, _)| all.take(SEQUENCE));
    let mut certificates = certificates.map_or(Der(&[]), |(all, _)| all);
    for _ in 0..CERTIFICATES_MAX {
        let Some((der, after)) = certificates.element() else { break };
        certificates = after;
        let named =
            certificate::parse(der.whole).is_ok_and(|by| is_named(&by, issuer, now) && has_signed(&by));
        if named {
            return Ok(());
        }
    }
    Err(OcspError::Signature)
}

/// Whether the issuer has named it to answer for it. Whether that was revoked since nobody is asked.
fn is_named(certificate: &X509Certificate<'_>, issuer: &X509Certificate<'_>, now: i64) -> bool {
    let Ok(now) = ASN1Time::from_timestamp(now) else { return false };
    let usage = certificate.extended_key_usage().ok().flatten();
    usage.is_some_and(|usage| usage.value.ocsp_signing)
        && certificate.validity().is_valid_at(now)
        && certificate.issuer().as_raw() == issuer.subject().as_raw()
        && certificate.verify_signature(Some(issuer.public_key())).is_ok()
}

impl Signer<'_> {
    fn is(&self, certificate: &X509Certificate<'_>) -> bool {
        match self {
            Self::Name(name) => *name == certificate.subject().as_raw(),
            Self::KeyHash(hash) => *hash == sha1(&certificate.public_key().subject_public_key.data),
        }
    }
}

fn time(der: Der<'_>) -> Option<(i64, Der<'_>)> {
    let (rest, time) = ASN1Time::from_der(der.0).ok()?;
    Some((time.timestamp(), Der(rest)))
}

fn sha1(bytes: &[u8]) -> Vec<u8> {
    digest(&SHA1_FOR_LEGACY_USE_ONLY, bytes).as_ref().to_vec()
}

/// Elements one after the other. Tags of one byte, lengths of at most three.
#[derive(Clone, Copy)]
struct Der<'a>(&'a [u8]);

#[derive(Clone, Copy)]
struct Element<'a> {
    tag: u8,
    content: Der<'a>,
    /// With its tag and length.
    whole: &'a [u8],
}

impl<'a> Der<'a> {
    /// The first, and what comes after it.
    fn element(self) -> Option<(Element<'a>, Self)> {
        let (&[tag, length], rest) = self.0.split_first_chunk()?;
        let (length, rest) = match length {
            0..=0x7f => (usize::from(length), rest),
            0x81..=0x83 => {
                let (digits, rest) = rest.split_at_checked(usize::from(length & 0x7f))?;
                (digits.iter().fold(0, |length, &digit| length << 8 | usize::from(digit)), rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        let whole = &self.0[..self.0.len() - rest.len()];
        Some((Element { tag, content: Der(content), whole }, Der(rest)))
    }

    /// The content of the first, if it has this tag.
    fn take(self, tag: u8) -> Option<(Self, Self)> {
        let (element, rest) = self.element()?;
        (element.tag == tag).then_some((element.content, rest))
    }
}

/// An element with these parts, of less than 64 KiB.
fn put(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let [.., high, low] = length.to_be_bytes();
    let head = match length {
        0..=0x7f => vec![tag, low],
        0x80..=0xff => vec![tag, 0x81, low],
        _ => vec![tag, 0x82, high, low],
    };
    [&head[..], &parts.concat()].concat()
}
