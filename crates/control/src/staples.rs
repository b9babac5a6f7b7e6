//! What authorities say of listeners' certificates (OCSP), for their clients to be shown: asked when a spec is pushed, kept in
//! memory for as long as it is not half over, and then asked anew.
//!
//! Where to ask is for the certificate to say, which is a user's: so only hosts of the internet are asked, and those that
//! the operator has allowed; nothing is followed anywhere, and little is waited for. Whatever goes wrong, a certificate
//! is pushed, if need be without.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::{Either, poll_fn, select};
use http::uri::Scheme;
use http::{Method, Request, StatusCode, Uri, header};
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper_util::rt::TokioIo;
use ipnet::IpNet;
use octavia_tls::{OCSP_MAX, OcspAnswer, OcspError, OcspQuestion, ocsp_question};
use octavia_wire::{Der, IdentitySpec, StapleSpec};
use tokio::net::TcpStream;

use crate::Clock;
use crate::public::is_public;

/// Seconds until a responder that gave no answer is asked again.
const AGAIN: i64 = 1_800;
/// Seconds between two questions about a certificate, at least, however short its answers hold.
const PAUSE: i64 = 60;
/// Seconds after which a push that waits for responders asks no more of them.
const PATIENCE: i64 = 10;
/// Certificates that are known of; beyond, all are asked about anew.
const KNOWN_MAX: usize = 1_024;
/// Bytes of all answers of one load balancer: an agent takes specs of 8 MiB, in which they are written in base64.
const BYTES_MAX: usize = 512 << 10;
/// The port of the internet's responders.
const PORT: u16 = 80;

#[derive(Debug, Clone)]
pub struct StaplingOptions {
    /// Networks that are asked although they are not on the internet, at any port.
    pub allowed_networks: Vec<IpNet>,
    /// How long one responder may take.
    pub timeout: Duration,
}

/// Cheap to clone; clones share what is known.
#[derive(Debug, Clone)]
pub struct Stapling {
    options: Arc<StaplingOptions>,
    known: Arc<Mutex<HashMap<[u8; 32], Known>>>,
}

/// What came of asking. Times are in seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Known {
    answer: Option<OcspAnswer>,
    again_at: i64,
    /// Its authority does not speak well of the certificate: what it said before is not to be shown either.
    is_bad: bool,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("it is no http:// address of a host")]
    Address,
    #[error(
        "its address is not on the internet, or its port is not {PORT}, and it is not in [ocsp_stapling] allowed_networks"
    )]
    NotAllowed,
    #[error("it does not answer in time")]
    Silent,
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("{0}")]
    Http(#[from] hyper::Error),
    #[error("it answers {0}")]
    Status(StatusCode),
    #[error("its answer is larger than {OCSP_MAX} bytes")]
    TooLarge,
    #[error("its answer is not taken: {0}")]
    Answer(#[from] OcspError),
}

impl Stapling {
    pub fn new(options: StaplingOptions) -> Self {
        Self { options: Arc::new(options), known: Arc::default() }
    }

    /// Puts to each certificate of one load balancer what there is to show with it.
    pub(crate) async fn staple<'a>(
        &self,
        identities: impl Iterator<Item = &'a mut IdentitySpec>,
        clock: &dyn Clock,
    ) {
        let deadline = clock.now().as_second().saturating_add(PATIENCE);
        let mut room = BYTES_MAX;
        for certificate in identities.flat_map(|identity| &mut identity.certificates) {
            // Who names no responder, or does not bring the issuer, has nothing to show.
            let Some(question) = ocsp_question(certificate.chain.iter().map(|der| &*der.0)) else { continue };
            let now = clock.now().as_second();
            let known = self.known().get(&question.id()).cloned();
            let known = match known {
                Some(known) if now < known.again_at => known,
                known if now >= deadline => Known::unanswered(known, now),
                known => {
                    let known = self.asked(&question, known, now).await;
                    self.keep(question.id(), known.clone());
                    known
                }
            };
            let mut staple = known.spec(now);
            let bytes = staple.response.as_ref().map_or(0, |response| response.0.len());
            match room.checked_sub(bytes) {
                Some(left) => room = left,
                None => staple.response = None,
            }
            certificate.staple = Some(staple);
        }
    }

    async fn asked(&self, question: &OcspQuestion, before: Option<Known>, now: i64) -> Known {
        for url in question.urls() {
            let answer = tokio::time::timeout(self.options.timeout, self.ask(url, question.request()));
            let answer = answer.await.unwrap_or(Err(Failure::Silent));
            match answer.and_then(|answer| Ok(question.judge(&answer, now)?)) {
                Ok(answer) => return Known::answered(answer, now),
                Err(Failure::Answer(OcspError::Revoked)) => {
                    tracing::warn!(?url, "a certificate of a listener is revoked, its authority says");
                    return Known { answer: None, again_at: now.saturating_add(AGAIN), is_bad: true };
                }
                Err(error) => tracing::info!(?url, %error, "no OCSP response"),
            }
        }
        Known::unanswered(before, now)
    }

    async fn ask(&self, url: &str, request: &[u8]) -> Result<Vec<u8>, Failure> {
        let uri: Uri = url.parse().map_err(|_| Failure::Address)?;
        let authority =
            uri.authority().filter(|_| uri.scheme() == Some(&Scheme::HTTP)).ok_or(Failure::Address)?;
        if authority.as_str().contains('@') {
            return Err(Failure::Address);
        }
        let port = authority.port_u16().unwrap_or(PORT);
        let host = authority.host().trim_matches(['[', ']']);
        // What was looked up is what is connected to: a second look could find another.
        let address = match host.parse::<IpAddr>() {
            Ok(address) => Some(SocketAddr::new(address, port)).filter(|address| self.may_ask(*address)),
            Err(_) => tokio::net::lookup_host((host, port)).await?.find(|address| self.may_ask(*address)),
        };
        let stream = TcpStream::connect(address.ok_or(Failure::NotAllowed)?).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let target = uri.path_and_query().map_or("/", |target| target.as_str());
        let request = Request::builder()
            .method(Method::POST)
            .uri(target)
            .header(header::HOST, authority.as_str())
            .header(header::CONTENT_TYPE, "application/ocsp-request")
            .header(header::ACCEPT, "application/ocsp-response")
            .header(header::CONNECTION, "close")
            .body(Whole(Some(Bytes::copy_from_slice(request))))
            .map_err(|_| Failure::Address)?;
        let answer = async {
            let response = sender.send_request(request).await?;
            match response.status() {
                StatusCode::OK => read(response.into_body()).await,
                status => Err(Failure::Status(status)),
            }
        };
        match select(pin!(answer), pin!(connection)).await {
            Either::Left((answer, _)) => answer,
            Either::Right((Ok(()), answer)) => answer.await,
            Either::Right((Err(error), _)) => Err(error.into()),
        }
    }

    fn may_ask(&self, address: SocketAddr) -> bool {
        let allowed = self.options.allowed_networks.iter().any(|network| network.contains(&address.ip()));
        allowed || is_public(address.ip()) && address.port() == PORT
    }

    fn keep(&self, question: [u8; 32], known: Known) {
        let mut all = self.known();
        if all.len() >= KNOWN_MAX && !all.contains_key(&question) {
            all.clear();
        }
        all.insert(question, known);
    }

    fn known(&self) -> MutexGuard<'_, HashMap<[u8; 32], Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A body that is there.
struct Whole(Option<Bytes>);

impl Body for Whole {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}

async fn read(mut body: Incoming) -> Result<Vec<u8>, Failure> {
    let mut bytes = vec![];
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        if let Some(data) = frame?.data_ref() {
            if bytes.len() + data.len() > OCSP_MAX {
                return Err(Failure::TooLarge);
            }
            bytes.extend_from_slice(data);
        }
    }
    Ok(bytes)
}

impl Known {
    /// Asked anew when half of it is over, or of what is left of it.
    fn answered(answer: OcspAnswer, now: i64) -> Self {
        let middle = |since: i64| since.saturating_add(answer.until.saturating_sub(since) / 2);
        let half = middle(answer.since);
        let again_at = if half > now { half } else { middle(now) };
        Self { again_at: again_at.max(now.saturating_add(PAUSE)), answer: Some(answer), is_bad: false }
    }

    /// What was said before holds to its end.
    fn unanswered(before: Option<Self>, now: i64) -> Self {
        let (answer, is_bad) = before.map_or((None, false), |before| (before.answer, before.is_bad));
        let answer = answer.filter(|answer| now < answer.until);
        Self { answer, again_at: now.saturating_add(AGAIN), is_bad }
    }

    fn spec(&self, now: i64) -> StapleSpec {
        let seconds = |time: i64| u64::try_from(time).unwrap_or(0);
        let shown = self.answer.as_ref().filter(|answer| now < answer.until);
        StapleSpec {
            response: shown.map(|answer| Der(answer.der.clone())),
            until: shown.map_or(0, |answer| seconds(answer.until)),
            refresh_at: seconds(self.again_at),
            keeps: !self.is_bad,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(since: i64, until: i64) -> OcspAnswer {
        OcspAnswer { der: vec![1], since, until }
    }

    #[test]
    fn when_it_is_asked_again() {
        for (since, until, now, again_at) in [
            (1_000, 11_000, 1_000, 6_000),
            (1_000, 11_000, 5_999, 6_059),
            (1_000, 11_000, 7_000, 9_000),
            (1_000, 11_000, 10_990, 11_050),
            (1_000, 1_010, 1_000, 1_060),
        ] {
            let known = Known::answered(answer(since, until), now);
            assert_eq!(known.again_at, again_at, "{since} {until} {now}");
            assert_eq!(known.spec(now).until, until as u64);
            assert_eq!(known.spec(until).response, None, "it is over");
        }
    }

    #[test]
    fn what_was_said_before_holds_to_its_end() {
        let before = Some(Known::answered(answer(0, 1_000), 0));
        let spec = |now| Known::unanswered(before.clone(), now).spec(now);
        assert_eq!((spec(500).response.is_some(), spec(500).refresh_at), (true, 2_300));
        assert_eq!((spec(1_000).response, spec(1_000).keeps), (None, true));
        let never = Known::unanswered(None, 10).spec(10);
        assert_eq!((never.response, never.refresh_at, never.keeps), (None, 1_810, true));
        let bad = Known { answer: None, again_at: 5, is_bad: true };
        assert!(!bad.spec(0).keeps && !Known::unanswered(Some(bad), 10).spec(10).keeps);
    }

    #[test]
    fn who_may_be_asked() {
        let options = StaplingOptions {
            allowed_networks: vec!["10.1.0.0/16".parse().unwrap(), "::1/128".parse().unwrap()],
            timeout: Duration::from_secs(1),
        };
        let stapling = Stapling::new(options);
        for (address, may) in [
            ("1.1.1.1:80", true),
            ("1.1.1.1:8080", false),
            ("10.1.2.3:8080", true),
            ("10.2.0.1:80", false),
            ("127.0.0.1:80", false),
            ("[::1]:5000", true),
            ("[::ffff:10.1.2.3]:80", false),
        ] {
            assert_eq!(stapling.may_ask(address.parse().unwrap()), may, "{address}");
        }
    }
}
