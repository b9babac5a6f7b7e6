//! Every way a request can fail, and what the caller is told: the one place where errors become HTTP.
//!
//! The texts are the original's interface texts (`reference/api.md` §2); clients match on some of them.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use octavia_cloud::CloudError;
use octavia_model::{Blame, L7PolicyId, LoadBalancerId, PoolId, ProvisioningStatus, QuotaKind};
use serde_json::json;

/// A refusal or failure of one request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    // ---- 400: the body
    #[error("Invalid input for field/attribute {attribute}. Value: '{value}'. {reason}")]
    Input { attribute: String, value: String, reason: String },
    #[error("Unknown attribute{} for argument {path}: {}", if keys.len() > 1 { "s" } else { "" }, keys.join(", "))]
    UnknownAttribute { path: String, keys: Vec<String> },
    #[error("Request is not in valid JSON format")]
    Json,
    #[error("Missing argument: \"{0}\"")]
    MissingArgument(&'static str),
    #[error("Form-encoded bodies are not accepted; send JSON.")]
    FormBody,
    #[error("The request body broke off, or is not framed as HTTP/1.1 frames it.")]
    BrokenBody,
    #[error("A request has one Host header.")]
    Host,
    #[error("Idempotency-Key must be one text of 1 to 255 printable ASCII characters.")]
    IdempotencyKey,
    // ---- 400: the query
    #[error("Unknown argument: \"{0}\"")]
    UnknownArgument(String),
    #[error("One or more arguments are either duplicate or invalid")]
    Filter,
    #[error("Supplied sort key '{0}' is not valid.")]
    SortKey(String),
    #[error("Supplied sort key '{0}' is not valid.")]
    SortSyntax(String),
    #[error("Supplied sort direction '{0}' is not valid.")]
    SortDirection(String),
    #[error("Supplied pagination marker '{0}' is not valid.")]
    Marker(String),
    #[error("Supplied pagination limit '{0}' is not valid.")]
    Limit(String),
    // ---- 400: the values
    #[error("{value} is not a valid option for {option}")]
    InvalidOption { value: String, option: String },
    #[error("The selected {option} is not allowed in this deployment: {value}")]
    DisabledOption { option: &'static str, value: String },
    #[error("Missing details for {kind} object: {name}")]
    DetailsMissing { kind: &'static str, name: String },
    #[error("Validation failure: {0}")]
    Validation(String),
    #[error("Could not retrieve certificate: {references}. {reasons}")]
    CertificateRetrieval { references: String, reasons: String },
    #[error("{0}")]
    CertificateUnusable(String),
    #[error("{resource} {id} not found.")]
    ReferenceNotFound { resource: &'static str, id: String },
    #[error("Provider '{0}' is not enabled.")]
    ProviderNotEnabled(String),
    #[error("Flavor '{flavor}' is not compatible with provider '{provider}'")]
    FlavorMismatch { flavor: String, provider: String },
    #[error("Protocol {0} listeners cannot have child objects.")]
    ChildlessListener(String),
    #[error("Invalid L7 Policy action specified: {0}")]
    L7Action(String),
    #[error("Invalid L7 Policy arguments: {0}")]
    L7Arguments(String),
    #[error("Error parsing L7Rule: {0}")]
    L7Rule(String),
    #[error("The flavor of this load balancer does not allow members with SR-IOV ports.")]
    MemberSriov,
    // ---- 401, 403
    #[error("The request you have made requires authentication.")]
    Unauthorized { auth_uri: String },
    #[error("Policy does not allow this request to be performed.")]
    Policy,
    #[error("Quota has been met for resources: {}", counted(*.0))]
    Quota(QuotaKind),
    // ---- 404, 405, 406
    #[error("{resource} {id} not found.")]
    NotFound { resource: &'static str, id: String },
    /// The parent in a nested path.
    #[error("{resource} {id} not found.")]
    ParentNotFound { resource: &'static str, id: String },
    #[error("")]
    UnknownPath,
    #[error("")]
    MethodNotAllowed { allow: String },
    #[error("Only answers of type application/json can be given.")]
    NotAcceptable,
    // ---- 409
    #[error(
        "Another Listener on this Load Balancer is already using protocol {protocol} and protocol_port {port}"
    )]
    PortClash { protocol: &'static str, port: u16 },
    #[error("Another member on this pool is already using ip {ip} on protocol_port {port}")]
    DuplicateMember { ip: String, port: u16 },
    #[error("This pool already has a health monitor")]
    DuplicateHealthMonitor,
    #[error("This listener already has a default pool")]
    ListenerHasPool,
    #[error("Pool {pool} is in use by L7 policy {l7policy}")]
    PoolInUse { pool: PoolId, l7policy: L7PolicyId },
    #[error("Too many rules on L7 policy {0}")]
    TooManyRules(L7PolicyId),
    #[error("{resource} {id} is immutable and cannot be updated.")]
    Immutable { resource: &'static str, id: String },
    #[error("Invalid state {state} of loadbalancer resource {id}")]
    InvalidState { state: ProvisioningStatus, id: LoadBalancerId },
    #[error("Already an entity with that specified id.")]
    AlreadyExists,
    #[error("A {field} of {name} already exists.")]
    NameTaken { field: &'static str, name: String },
    #[error("{object} {id} is in use and cannot be modified.")]
    InUse { object: &'static str, id: String },
    #[error("The VIP IP address is already in use: {0}")]
    VipInUse(String),
    #[error("The first request with this Idempotency-Key is under way; try again.")]
    KeyUnderWay,
    // ---- 408, 413, 415, 422
    #[error("The request body did not arrive in time.")]
    TooSlow,
    #[error("The request body is larger than {0} bytes.")]
    TooLarge(usize),
    #[error("Unknown mimetype: {0}")]
    ContentType(String),
    #[error("This Idempotency-Key was used for another request.")]
    KeyReused,
    /// Nobody reads this.
    #[error("The client hung up before it was answered.")]
    HungUp,
    // ---- 5xx
    #[error("An unknown error happened; the log of the service has the details under this request id.")]
    Internal,
    #[error("Provider '{provider}' reports error: {message}")]
    Provider { provider: String, message: String },
    #[error("Provider '{provider}' does not support a requested option: {message}")]
    UnsupportedOption { provider: String, message: String },
    #[error("{0}")]
    Unavailable(String),
}

/// What a quota counts, in the original's words.
const fn counted(kind: QuotaKind) -> &'static str {
    match kind {
        QuotaKind::LoadBalancer => "Load Balancer",
        QuotaKind::Listener => "Listener",
        QuotaKind::Pool => "Pool",
        QuotaKind::Member => "Member",
        QuotaKind::HealthMonitor => "Health Monitor",
        QuotaKind::L7Policy => "L7 Policy",
        QuotaKind::L7Rule => "L7 Rule",
    }
}

/// The three bodies an error can have.
enum Shape {
    Main,
    /// For errors raised outside the resource's own code; the title is not always the status' reason phrase.
    Alternate {
        title: &'static str,
    },
    Unauthorized,
}

impl Fault {
    pub(crate) fn validation(text: impl Into<String>) -> Self {
        Self::Validation(text.into())
    }

    pub(crate) fn not_found(resource: &'static str, id: impl ToString) -> Self {
        Self::NotFound { resource, id: id.to_string() }
    }

    pub(crate) fn unknown_flavor() -> Self {
        Self::validation("Invalid flavor_id.")
    }

    pub(crate) fn unknown_availability_zone() -> Self {
        Self::validation("Invalid availability zone.")
    }

    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Input { .. }
            | Self::UnknownAttribute { .. }
            | Self::Json
            | Self::MissingArgument(_)
            | Self::FormBody
            | Self::BrokenBody
            | Self::Host
            | Self::IdempotencyKey
            | Self::UnknownArgument(_)
            | Self::Filter
            | Self::SortKey(_)
            | Self::SortSyntax(_)
            | Self::SortDirection(_)
            | Self::Marker(_)
            | Self::Limit(_)
            | Self::InvalidOption { .. }
            | Self::DisabledOption { .. }
            | Self::DetailsMissing { .. }
            | Self::Validation(_)
            | Self::CertificateRetrieval { .. }
            | Self::CertificateUnusable(_)
            | Self::ReferenceNotFound { .. }
            | Self::ProviderNotEnabled(_)
            | Self::FlavorMismatch { .. }
            | Self::ChildlessListener(_)
            | Self::L7Action(_)
            | Self::L7Arguments(_)
            | Self::L7Rule(_)
            | Self::MemberSriov => StatusCode::BAD_REQUEST,
            Self::Unauthorized { .. } => StatusCode::UNAUTHORIZED,
            Self::Policy | Self::Quota(_) => StatusCode::FORBIDDEN,
            Self::NotFound { .. } | Self::ParentNotFound { .. } | Self::UnknownPath => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotAcceptable => StatusCode::NOT_ACCEPTABLE,
            Self::PortClash { .. }
            | Self::DuplicateMember { .. }
            | Self::DuplicateHealthMonitor
            | Self::ListenerHasPool
            | Self::PoolInUse { .. }
            | Self::TooManyRules(_)
            | Self::Immutable { .. }
            | Self::InvalidState { .. }
            | Self::AlreadyExists
            | Self::NameTaken { .. }
            | Self::InUse { .. }
            | Self::VipInUse(_)
            | Self::KeyUnderWay => StatusCode::CONFLICT,
            Self::KeyReused => StatusCode::UNPROCESSABLE_ENTITY,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::ContentType(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            // As nginx counts it.
            Self::HungUp => StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST),
            Self::Internal | Self::Provider { .. } => StatusCode::INTERNAL_SERVER_ERROR,
            Self::UnsupportedOption { .. } => StatusCode::NOT_IMPLEMENTED,
            Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn shape(&self) -> Shape {
        match self {
            Self::Unauthorized { .. } => Shape::Unauthorized,
            Self::UnknownPath => Shape::Alternate { title: "Not Found" },
            Self::MethodNotAllowed { .. } => Shape::Alternate { title: "Method Not Allowed" },
            Self::NotAcceptable => Shape::Alternate { title: "Not Acceptable" },
            // The title says so in the original too, although the status is 404.
            Self::ParentNotFound { .. } => Shape::Alternate { title: "Bad Request" },
            Self::Limit(_) | Self::SortSyntax(_) | Self::SortDirection(_) => {
                Shape::Alternate { title: "Bad Request" }
            }
            _ => Shape::Main,
        }
    }
}

impl Fault {
    /// A network's answer to the wish for an address.
    pub(crate) fn from_vip(error: CloudError, provider: &str) -> Self {
        match error.blame {
            Blame::Caller => Self::VipInUse(error.message),
            Blame::Dependency => error.into(),
            Blame::Us => {
                tracing::error!(%error, "the network driver failed");
                Self::Provider { provider: provider.to_owned(), message: error.message }
            }
        }
    }
}

/// A network's answer to a look-up.
impl From<CloudError> for Fault {
    fn from(error: CloudError) -> Self {
        match error.blame {
            Blame::Caller => Self::Validation(error.message),
            Blame::Dependency => {
                tracing::warn!(%error, "the network service could not be asked");
                Self::Unavailable("The network service could not be asked; try again later.".to_owned())
            }
            Blame::Us => {
                tracing::error!(%error, "the network driver failed");
                Self::Internal
            }
        }
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let status = self.status();
        let text = self.to_string();
        let body = match self.shape() {
            Shape::Main => json!({
                "faultcode": if status.is_server_error() { "Server" } else { "Client" },
                "faultstring": text,
                "debuginfo": null,
            }),
            Shape::Alternate { title } => {
                json!({ "code": status.as_u16(), "title": title, "description": text })
            }
            Shape::Unauthorized => {
                json!({ "error": { "code": status.as_u16(), "title": "Unauthorized", "message": text } })
            }
        };
        let mut response = (status, axum::Json(body)).into_response();
        let extra = match &self {
            Self::Unauthorized { auth_uri } => {
                Some((header::WWW_AUTHENTICATE, format!("Keystone uri=\"{auth_uri}\"")))
            }
            Self::MethodNotAllowed { allow } => Some((header::ALLOW, allow.clone())),
            Self::KeyUnderWay => Some((header::RETRY_AFTER, "1".to_owned())),
            _ => None,
        };
        if let Some((name, value)) = extra
            && let Ok(value) = HeaderValue::try_from(value)
        {
            response.headers_mut().insert(name, value);
        }
        response
    }
}
