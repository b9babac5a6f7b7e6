//! Talking to agents: whole specs over mutual TLS.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::{Either, select};
use http::{Method, Request, StatusCode, header};
use hyper::body::{Body, Incoming};
use hyper_util::rt::TokioIo;
use jiff::{SignedDuration, Timestamp};
use octavia_cloud::{CertIssuer, Trust};
use octavia_model::{
    AmphoraId, Blame, REQUEST_ID_HEADER, REQUEST_IDS_MAX, Reason, ReasonCode, Retry, is_request_id,
};
use octavia_wire::{AgentFault, AgentInfo, AmphoraSpec, ApplyOutcome, Papers, PapersReport, paths};
use rustls::pki_types::ServerName;
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio_rustls::TlsConnector;

use crate::client_tls::client_config;

/// The largest answer read from an agent, in bytes.
const MAX_ANSWER: usize = 1 << 20;
/// Characters of an agent's own words that are repeated.
const MAX_WORDS: usize = 300;

/// What a controller asks of agents.
#[async_trait]
pub trait Agents: Send + Sync + std::fmt::Debug {
    /// Makes the spec the amphora's, unless it has a newer one. Pushing twice is a no-op. `request_ids`: of the requests
    /// that this is done for, for the amphora's log.
    async fn spec_push(
        &self,
        agent: AgentAddress,
        spec: &AmphoraSpec,
        request_ids: &[String],
    ) -> Result<ApplyOutcome, AgentError>;

    /// Gives the agent new papers, unless it has some of a higher fence. Twice is once.
    async fn papers_push(&self, agent: AgentAddress, papers: &Papers) -> Result<PapersReport, AgentError>;

    /// What the agent runs.
    async fn info(&self, agent: AgentAddress) -> Result<AgentInfo, AgentError>;
}

/// An agent, and where it listens: whoever answers there has to prove that it is this amphora.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AgentAddress {
    pub amphora: AmphoraId,
    pub address: SocketAddr,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AgentError {
    /// Nothing answered, in time, as HTTP over TLS.
    #[error("the amphora's agent does not answer: {0}")]
    Unreachable(String),
    /// Something answered that could not prove to be the amphora, or did not believe us.
    #[error("the amphora's agent and this controller do not trust each other: {0}")]
    Untrusted(String),
    /// The agent has a newer spec: another worker is ahead of this one.
    #[error("the amphora's agent has a newer spec: {0}")]
    Superseded(AgentFault),
    /// The agent refuses the spec whole.
    #[error("the amphora's agent refuses its configuration: {0}")]
    Refused(AgentFault),
    /// The agent is in trouble of its own.
    #[error("the amphora's agent failed: {0}")]
    Failed(AgentFault),
    /// Not an answer of the agent's API.
    #[error("the amphora's agent answers what this controller does not understand: {0}")]
    Garbled(String),
    /// The request could not even be made.
    #[error("no client certificate to show to the agent: {0}")]
    NoIdentity(String),
}

impl AgentError {
    pub const fn blame(&self) -> Blame {
        match self {
            Self::Unreachable(_) | Self::Untrusted(_) | Self::Failed(_) | Self::NoIdentity(_) => {
                Blame::Dependency
            }
            Self::Superseded(_) | Self::Refused(_) | Self::Garbled(_) => Blame::Us,
        }
    }

    /// A refused spec stays refused; everything else may pass.
    pub const fn retry(&self) -> Retry {
        match self {
            Self::Refused(_) => Retry::Never,
            _ => Retry::Safe,
        }
    }

    /// For users' eyes.
    pub fn reason(&self) -> Reason {
        let (code, advice) = match self {
            Self::Refused(_) => (
                ReasonCode::ConfigurationRefused,
                "The configuration before it runs on. Undo the last change, and report this.",
            ),
            Self::Superseded(_) | Self::Garbled(_) => (ReasonCode::Internal, "It is tried again by itself."),
            _ => (
                ReasonCode::AmphoraUnreachable,
                "It is tried again by itself; look at the cloud if it lasts.",
            ),
        };
        Reason::new(code, self.to_string(), advice)
    }
}

#[derive(Debug, Clone)]
pub struct MutualTlsOptions {
    /// Common name of the controllers' client certificates.
    pub controller_name: String,
    /// Lifetime of a client certificate; a new one is issued when two thirds of it are over.
    pub cert_lifetime: SignedDuration,
    pub connect_timeout: Duration,
    pub request_timeout: Duration,
}

impl Default for MutualTlsOptions {
    fn default() -> Self {
        Self {
            controller_name: "octavia-controller".to_owned(),
            cert_lifetime: SignedDuration::from_hours(24 * 30),
            connect_timeout: Duration::from_secs(2),
            request_timeout: Duration::from_secs(10),
        }
    }
}

/// Real agents, at their addresses. The name an agent has to prove is its amphora's id, not its address.
#[derive(Debug)]
pub struct MutualTlsAgents {
    issuer: Arc<dyn CertIssuer>,
    options: MutualTlsOptions,
    identity: Mutex<Option<Identity>>,
}

/// Our own certificates, as a ready TLS configuration; it also remembers sessions to resume.
#[derive(Clone)]
struct Identity {
    tls: Arc<rustls::ClientConfig>,
    /// Whom it was made to believe.
    trust: Arc<Trust>,
    renew_at: Timestamp,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Identity(renewed at {})", self.renew_at)
    }
}

impl MutualTlsAgents {
    pub fn new(issuer: Arc<dyn CertIssuer>, options: MutualTlsOptions) -> Self {
        Self { issuer, options, identity: Mutex::new(None) }
    }

    async fn tls(&self) -> Result<Arc<rustls::ClientConfig>, AgentError> {
        let mut identity = self.identity.lock().await;
        let trust = self.issuer.trust();
        let good = |identity: &&Identity| Timestamp::now() < identity.renew_at && *identity.trust == *trust;
        if let Some(identity) = identity.as_ref().filter(good) {
            return Ok(identity.tls.clone());
        }
        let none = |error: &dyn std::fmt::Display| AgentError::NoIdentity(error.to_string());
        let lifetime = self.options.cert_lifetime;
        let certs = self.issuer.issue_each(&self.options.controller_name, lifetime).await;
        let certs = certs.map_err(|error| none(&error))?;
        let end = certs.first().map(|cert| cert.expires_at).ok_or_else(|| none(&"there is no authority"))?;
        let tls = Arc::new(client_config(&certs, &trust.bundle()).map_err(|error| none(&error))?);
        *identity = Some(Identity { tls: tls.clone(), trust, renew_at: end - lifetime / 3 });
        Ok(tls)
    }

    async fn request(
        &self,
        agent: AgentAddress,
        question: Question<'_>,
    ) -> Result<(StatusCode, Vec<u8>), AgentError> {
        let tls = self.tls().await?;
        let exchange = exchange(agent, question, tls, self.options.connect_timeout);
        let too_late =
            |_| AgentError::Unreachable(format!("no answer within {:?}", self.options.request_timeout));
        tokio::time::timeout(self.options.request_timeout, exchange).await.map_err(too_late)?
    }
}

#[async_trait]
impl Agents for MutualTlsAgents {
    async fn spec_push(
        &self,
        agent: AgentAddress,
        spec: &AmphoraSpec,
        request_ids: &[String],
    ) -> Result<ApplyOutcome, AgentError> {
        let body = serde_json::to_string(spec).map_err(|error| AgentError::Garbled(error.to_string()))?;
        let question = Question { method: Method::PUT, path: paths::SPEC, body, request_ids };
        let (status, body) = self.request(agent, question).await?;
        answer(status, &body)
    }

    async fn papers_push(&self, agent: AgentAddress, papers: &Papers) -> Result<PapersReport, AgentError> {
        let body = serde_json::to_string(papers).map_err(|error| AgentError::Garbled(error.to_string()))?;
        let question = Question { method: Method::PUT, path: paths::PAPERS, body, request_ids: &[] };
        let (status, body) = self.request(agent, question).await?;
        answer(status, &body)
    }

    async fn info(&self, agent: AgentAddress) -> Result<AgentInfo, AgentError> {
        let question =
            Question { method: Method::GET, path: paths::INFO, body: String::new(), request_ids: &[] };
        let (status, body) = self.request(agent, question).await?;
        let info: AgentInfo = answer(status, &body)?;
        if info.amphora_id == agent.amphora {
            Ok(info)
        } else {
            Err(AgentError::Garbled(format!("it calls itself {}", info.amphora_id)))
        }
    }
}

/// What an agent is asked.
struct Question<'a> {
    method: Method,
    path: &'a str,
    body: String,
    request_ids: &'a [String],
}

/// One request on a connection of its own: agents are asked rarely, and resumed sessions make it cheap.
async fn exchange(
    agent: AgentAddress,
    question: Question<'_>,
    tls: Arc<rustls::ClientConfig>,
    connect_timeout: Duration,
) -> Result<(StatusCode, Vec<u8>), AgentError> {
    let unreachable = |error: &dyn std::fmt::Display| AgentError::Unreachable(error.to_string());
    let name = ServerName::try_from(agent.amphora.to_string()).map_err(|error| unreachable(&error))?;
    let connect = async {
        let tcp = TcpStream::connect(agent.address).await.map_err(|error| unreachable(&error))?;
        tcp.set_nodelay(true).map_err(|error| unreachable(&error))?;
        TlsConnector::from(tls).connect(name, tcp).await.map_err(|error| tls_error(&error))
    };
    let stream = tokio::time::timeout(connect_timeout, connect)
        .await
        .map_err(|_| AgentError::Unreachable(format!("no connection within {connect_timeout:?}")))??;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| unreachable(&error))?;

    let mut request = Request::builder()
        .method(question.method)
        .uri(question.path)
        .header(header::HOST, agent.amphora.to_string())
        .header(header::CONTENT_TYPE, "application/json");
    let ids = question.request_ids.iter().filter(|id| is_request_id(id));
    for id in ids.take(REQUEST_IDS_MAX) {
        request = request.header(REQUEST_ID_HEADER, id);
    }
    let request = request.body(question.body).map_err(|error| AgentError::Garbled(error.to_string()))?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(|error| hyper_error(&error))?;
        let status = response.status();
        Ok((status, read(response.into_body()).await?))
    };
    // The connection lives as long as the answer is awaited; it may end first, with the answer already read.
    match select(pin!(answer), pin!(connection)).await {
        Either::Left((answer, _)) => answer,
        Either::Right((Ok(()), answer)) => answer.await,
        Either::Right((Err(error), _)) => Err(hyper_error(&error)),
    }
}

async fn read(mut body: Incoming) -> Result<Vec<u8>, AgentError> {
    let mut bytes = vec![];
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let frame = frame.map_err(|error| hyper_error(&error))?;
        if let Some(data) = frame.data_ref() {
            if bytes.len() + data.len() > MAX_ANSWER {
                return Err(AgentError::Garbled(format!("more than {MAX_ANSWER} bytes")));
            }
            bytes.extend_from_slice(data);
        }
    }
    Ok(bytes)
}

fn answer<T: DeserializeOwned>(status: StatusCode, body: &[u8]) -> Result<T, AgentError> {
    if status.is_success() {
        return serde_json::from_slice(body).map_err(|error| AgentError::Garbled(bounded(error.to_string())));
    }
    let mut fault: AgentFault = serde_json::from_slice(body)
        .unwrap_or_else(|_| AgentFault { error: format!("status {status}"), http_code: status.as_u16() });
    fault.error = bounded(fault.error);
    Err(match status {
        StatusCode::CONFLICT => AgentError::Superseded(fault),
        status if status.is_client_error() => AgentError::Refused(fault),
        _ => AgentError::Failed(fault),
    })
}

/// What an agent says is shown and stored: an amphora that somebody took over must not fill the database.
fn bounded(mut words: String) -> String {
    if let Some((end, _)) = words.char_indices().nth(MAX_WORDS) {
        words.truncate(end);
    }
    words
}

/// A failed handshake is about trust if TLS says so, else about the network.
fn tls_error(error: &std::io::Error) -> AgentError {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(error) => AgentError::Untrusted(error.to_string()),
        None => AgentError::Unreachable(error.to_string()),
    }
}

/// A TLS 1.3 server refuses our certificate only after the handshake, so trust may end here too.
fn hyper_error(error: &hyper::Error) -> AgentError {
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        if let Some(io) = inner.downcast_ref::<std::io::Error>() {
            return tls_error(io);
        }
        source = inner.source();
    }
    AgentError::Unreachable(error.to_string())
}
