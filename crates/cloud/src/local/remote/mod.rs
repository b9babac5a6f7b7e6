//! One cloud for several processes of a machine: one of them *keeps* it, the others ask at a Unix socket in the state
//! directory.
//!
//! A question is one [`Call`] as JSON, an answer an [`Answer`], each behind its length in four bytes (the highest first).
//! The socket is for the state directory's owner alone: whoever can open it is the service. Calls are the verbs of the
//! traits, idempotent like these, so a client that got no answer asks again; it knows nothing until it got one.

mod client;
mod keeper;

use std::io;

use octavia_model::{AmphoraId, LoadBalancerId, NetworkId, PortId, SecurityGroupId, SubnetId};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use uuid::Uuid;
use zeroize::Zeroizing;

pub use self::client::LocalClient;
pub use self::keeper::Keeper;
pub(super) use self::keeper::Services;
use crate::{
    CloudError, Forbidden, Port, PortRequest, RequestContext, SecretError, SecurityRule, ServerRequest,
    VipRequest,
};

/// Below the state directory.
pub(super) const SOCKET: &str = "cloud.sock";

/// The largest question or answer, in bytes.
const FRAME_MAX: u32 = 16 << 20;

#[derive(Serialize, Deserialize)]
enum Call {
    ServerEnsure(ServerRequest),
    ServerFind(AmphoraId),
    ServerDelete(AmphoraId),
    ServerList,
    PortAttach(AmphoraId, Port),
    PortDetach(AmphoraId, PortId),
    SubnetGet(SubnetId),
    NetworkGet(NetworkId),
    PortGet(PortId),
    SecurityGroupExists(SecurityGroupId),
    QosPolicyExists(Uuid),
    VipEnsure(VipRequest),
    VipCheck(VipRequest),
    VipRelease(LoadBalancerId),
    VipList,
    PortEnsure(PortRequest),
    PortFind(AmphoraId, NetworkId),
    PortList(Option<AmphoraId>),
    PortDelete(PortId),
    SecurityGroupEnsure(LoadBalancerId, Vec<SecurityRule>),
    SecurityGroupDelete(LoadBalancerId),
    SecurityGroupList,
    /// Who holds a token; answered with nothing if it is not valid.
    Token(String),
    Payload(Reading),
    Container(Reading),
    Consumer(Consuming),
}

/// What is read, and for whom; without a caller, for the service itself.
#[derive(Serialize, Deserialize)]
struct Reading {
    reference: String,
    caller: Option<RequestContext>,
}

#[derive(Serialize, Deserialize)]
struct Consuming {
    reference: String,
    resource: String,
    id: Uuid,
    /// Or no longer.
    uses: bool,
}

#[derive(Serialize, Deserialize)]
enum Answer<T> {
    Good(T),
    Bad(Refusal),
}

/// A [`CloudError`].
#[derive(Serialize, Deserialize)]
struct Refusal {
    blame: String,
    retry: String,
    message: String,
}

/// Parts of a container by name, each a reference.
#[derive(Serialize, Deserialize)]
struct Contained {
    kind: String,
    secrets: Vec<(String, String)>,
}

/// A [`SecretError`], as far as who only fetches can meet one.
#[derive(Serialize, Deserialize)]
enum SecretRefusal {
    NotFound(String),
    Forbidden(Forbidden),
    NotAdmitted,
    NoPayload(String),
    Other(Refusal),
}

impl From<CloudError> for Refusal {
    fn from(error: CloudError) -> Self {
        Self {
            blame: error.blame.as_str().to_owned(),
            retry: error.retry.as_str().to_owned(),
            message: error.message,
        }
    }
}

impl From<Refusal> for CloudError {
    /// What a newer keeper may say, and nobody here knows, is its trouble.
    fn from(Refusal { blame, retry, message }: Refusal) -> Self {
        match (blame.parse(), retry.parse()) {
            (Ok(blame), Ok(retry)) => Self { blame, retry, message },
            _ => Self::unavailable(message),
        }
    }
}

impl From<SecretError> for SecretRefusal {
    fn from(error: SecretError) -> Self {
        match error {
            SecretError::NotFound(what) => Self::NotFound(what),
            SecretError::Forbidden(rights) => Self::Forbidden(rights),
            SecretError::NotAdmitted => Self::NotAdmitted,
            SecretError::NoPayload(id) => Self::NoPayload(id),
            SecretError::Cloud(error) => Self::Other(error.into()),
            other => Self::Other(CloudError::refused(other.to_string()).into()),
        }
    }
}

impl From<SecretRefusal> for SecretError {
    fn from(refusal: SecretRefusal) -> Self {
        match refusal {
            SecretRefusal::NotFound(what) => Self::NotFound(what),
            SecretRefusal::Forbidden(rights) => Self::Forbidden(rights),
            SecretRefusal::NotAdmitted => Self::NotAdmitted,
            SecretRefusal::NoPayload(id) => Self::NoPayload(id),
            SecretRefusal::Other(refusal) => Self::Cloud(refusal.into()),
        }
    }
}

/// `None` = the other side has closed instead.
async fn frame_read(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
    let length = match from.read_u32().await {
        Ok(length) => length,
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    };
    if length > FRAME_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("{length} bytes are too many")));
    }
    let mut frame = Zeroizing::new(vec![0; length as usize]);
    from.read_exact(&mut frame).await?;
    Ok(Some(frame))
}

async fn frame_write(to: &mut (impl AsyncWrite + Unpin), frame: &[u8]) -> io::Result<()> {
    let length = u32::try_from(frame.len()).ok().filter(|length| *length <= FRAME_MAX);
    let length = length.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "too much to say"))?;
    to.write_u32(length).await?;
    to.write_all(frame).await?;
    to.flush().await
}

#[cfg(test)]
mod tests {
    use octavia_model::{Blame, Retry};

    use super::*;

    #[tokio::test]
    async fn hostile_frames() {
        for (bytes, wanted) in [
            (&b""[..], Ok(None)),
            (b"\0\0", Ok(None)),
            (b"\0\0\0\0", Ok(Some(&b""[..]))),
            (b"\0\0\0\x02hi", Ok(Some(b"hi"))),
            (b"\0\0\0\x03hi", Err(io::ErrorKind::UnexpectedEof)),
            (b"\x7f\0\0\0hi", Err(io::ErrorKind::InvalidData)),
        ] {
            let read = frame_read(&mut &bytes[..]).await.map_err(|error| error.kind());
            let read = read.as_ref().map(|frame| frame.as_ref().map(|frame| frame.as_slice()));
            assert_eq!(read, wanted.as_ref().copied(), "{bytes:?}");
        }
        assert!(frame_write(&mut vec![], &vec![0; FRAME_MAX as usize + 1]).await.is_err());
    }

    #[test]
    fn errors_come_through() {
        for error in [CloudError::unavailable("a"), CloudError::refused("b"), CloudError::internal("c")] {
            assert_eq!(CloudError::from(Refusal::from(error.clone())), error);
            let error = SecretError::from(error);
            assert_eq!(SecretError::from(SecretRefusal::from(error.clone())), error);
        }
        let newer = Refusal { blame: "moon".into(), retry: "safe".into(), message: "m".into() };
        let error = CloudError::from(newer);
        assert_eq!((error.blame, error.retry), (Blame::Dependency, Retry::Safe));
        for error in
            [SecretError::NotFound("x".into()), SecretError::NotAdmitted, SecretError::NoPayload("y".into())]
        {
            assert_eq!(SecretError::from(SecretRefusal::from(error.clone())), error);
        }
    }
}
