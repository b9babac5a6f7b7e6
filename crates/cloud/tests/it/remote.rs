//! A cloud that one process keeps for others. That these see what it sees, the suites of each driver say.

use std::os::unix::fs::PermissionsExt;

use octavia_cloud::local::{self, LocalClient, OpenError};
use octavia_cloud::suite::cert_suite;
use octavia_cloud::{IdentityError, Reader, SecretError, SecretRef};
use octavia_model::{AmphoraId, Blame, LoadBalancerId, Retry};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::kit::Cloud;

const URL: &str = "http://127.0.0.1:9876";

#[tokio::test]
async fn without_a_keeper_nothing_is_known() {
    let cloud = Cloud::new();
    let token = cloud.token("demo").await;
    let client = LocalClient::open(cloud.path(), URL, vec![]).unwrap();
    for _ in 0..2 {
        let error = client.compute().server_find(AmphoraId::new_v4()).await.unwrap_err();
        assert_eq!((error.blame, error.retry), (Blame::Dependency, Retry::Safe), "{error}");
        assert!(error.message.contains("octavia local serve"), "{error}");
        assert!(client.network().vip_list().await.is_err(), "not known, which is not none");
        assert!(matches!(client.identity().verify(&token).await, Err(IdentityError::Unavailable(_))));
        let secret = SecretRef::parse("/secrets/2b1d9b9e-9b9a-4d5e-8a77-94a5d6a1e1f3").unwrap();
        let error = client.secrets().payload_fetch(&secret, Reader::Service).await.unwrap_err();
        assert!(matches!(error, SecretError::Cloud(_)), "{error}");

        // What is there for a while, and not any more, is asked anew.
        let (client, keeper) = cloud.kept();
        client.ping().await.unwrap();
        assert_eq!(client.network().vip_list().await, Ok(Vec::<LoadBalancerId>::new()));
        assert!(client.identity().verify(&token).await.is_ok());
        let error = client.secrets().payload_fetch(&secret, Reader::Service).await.unwrap_err();
        assert!(matches!(error, SecretError::NotFound(_)), "{error}");
        drop(keeper);
        assert!(client.ping().await.is_err());
    }
}

#[tokio::test]
async fn what_is_shared_by_files() {
    let cloud = Cloud::new();
    let client = LocalClient::open(cloud.path(), URL, vec![]).unwrap();
    assert_eq!(client.management_address(), cloud.local.management_address());
    assert_eq!(client.ticket_key(), cloud.local.ticket_key());
    assert_eq!(client.cert_issuer().trust(), cloud.local.cert_issuer().trust());
    local::trust_roll(cloud.path()).unwrap();
    assert_eq!(client.cert_issuer().trust(), cloud.local.cert_issuer().trust(), "both notice");
    assert_eq!(client.identity().auth_uri(), cloud.local.identity().auth_uri());
    cert_suite(&*client.cert_issuer()).await;
    let empty = tempfile::tempdir().unwrap();
    assert!(matches!(LocalClient::open(empty.path(), URL, vec![]), Err(OpenError::NoCloud(_))));
    assert_eq!(std::fs::read_dir(empty.path()).unwrap().count(), 0, "nothing is made by who only asks");
}

#[tokio::test]
async fn the_socket_is_the_owners_and_takes_what_it_understands() {
    let cloud = Cloud::new();
    let (client, _keeper) = cloud.kept();
    let path = cloud.path().join("cloud.sock");
    let mode = std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    for (question, wanted) in [
        (&b"\0\0\0\x02{}"[..], "older version"),
        (b"\0\0\0\x0f{\"Teleport\":\"x\"}", "older version"),
        (b"\xff\xff\xff\xffxx", ""),
        (b"\0", ""),
    ] {
        let mut stream = UnixStream::connect(&path).await.unwrap();
        stream.write_all(question).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = vec![];
        // Who talks nonsense may find the connection reset.
        let _ = stream.read_to_end(&mut answer).await;
        let answer = String::from_utf8_lossy(&answer);
        assert_eq!(answer.is_empty(), wanted.is_empty(), "{answer}");
        assert!(answer.contains(wanted), "{answer}");
    }
    client.ping().await.unwrap();
}
