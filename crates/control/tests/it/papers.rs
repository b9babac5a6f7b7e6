//! Certificates, authorities and heartbeat keys that amphorae are led from and to.

use octavia_cloud::CertIssuer;
use octavia_control::{HealthMetrics, Reconciled};
use octavia_model::{AmphoraId, LoadBalancerId, ProvisioningStatus};
use octavia_wire::{BootConfig, Heartbeat};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

use crate::rig::{KEY, Rig};

/// The only amphora there is.
fn only(rig: &Rig) -> AmphoraId {
    *rig.cloud.facts().servers.keys().next().unwrap()
}

/// Certificate authority and end of the certificate, as the row has them.
async fn row(rig: &Rig) -> (String, i64) {
    let row = rig.store.amphora_fetch(only(rig)).await.unwrap().unwrap();
    (row.cert_authority.unwrap(), row.cert_expiration.unwrap().as_second())
}

async fn done(rig: &Rig, lb: LoadBalancerId, pushes: usize) {
    assert_eq!(rig.reconcile(lb).await, Reconciled::Done);
    assert_eq!(rig.cloud.facts().calls_of("papers_push"), pushes);
    assert_eq!(rig.statuses(lb).await.provisioning, ProvisioningStatus::Active);
}

#[tokio::test]
async fn certificates_are_renewed_before_they_end() {
    let rig = Rig::new().await;
    let lb = rig.active().await;
    let (authority, until) = row(&rig).await;
    let id = only(&rig);
    let boot = rig.cloud.facts().servers[&id].files[BootConfig::FILE].clone();
    let boot: BootConfig = serde_json::from_slice(&boot).unwrap();
    assert_eq!((authority.as_str(), boot.papers.mark), ("authority 0", rig.certs.trust().mark()));
    // Thirty days, of which fourteen have to be left.
    rig.clock.forward(15 * 86_400);
    done(&rig, lb, 0).await;
    rig.clock.forward(2 * 86_400);
    // The test's authority goes by the real clock: what it issues has to end later than what is there.
    done(&rig, lb, 1).await;
    let (same, later) = row(&rig).await;
    assert!(same == authority && later >= until, "{later} after {until}");
    assert_eq!(rig.cloud.facts().calls_of("spec_push"), 1);
}

#[tokio::test]
async fn another_authority_and_key_reach_every_amphora_once() {
    let rig = Rig::new().await;
    let lb = rig.active().await;
    rig.certs.roll("another key");
    done(&rig, lb, 1).await;
    assert_eq!(row(&rig).await.0, "authority 1");
    let id = only(&rig);
    let papers = rig.cloud.facts().servers[&id].papers.clone().unwrap();
    assert_eq!(
        (papers.heartbeat_key.as_str(), papers.client_ca),
        ("another key", rig.certs.trust().bundle())
    );
    done(&rig, lb, 1).await;
    // That the old one is not believed any more is told, too.
    rig.certs.finish();
    done(&rig, lb, 2).await;
    done(&rig, lb, 2).await;
    assert_eq!(rig.cloud.facts().calls_of("spec_push"), 1, "and nothing else is");
}

#[tokio::test]
async fn papers_that_cannot_be_brought_are_brought_later() {
    let rig = Rig::new().await;
    let lb = rig.active().await;
    rig.certs.roll("another key");
    rig.cloud.facts().agents_down = true;
    assert!(matches!(rig.reconcile(lb).await, Reconciled::Later(_)));
    assert_eq!(row(&rig).await.0, "authority 0");
    rig.cloud.facts().agents_down = false;
    done(&rig, lb, 1).await;
    assert_eq!(row(&rig).await.0, "authority 1");
}

/// No beat is lost: neither of who has the new key already, nor of who has the old one still.
#[tokio::test]
async fn heartbeats_of_both_keys_count_until_the_change_is_finished() {
    let rig = Rig::new().await;
    rig.active().await;
    let mut registry = Registry::default();
    let metrics = HealthMetrics::default();
    metrics.register(&mut registry);
    let health = rig.health_counted(metrics);
    let mut seq = octavia_model::SEQ_FOR_LIFE;
    let mut beat = |key: &str| {
        seq += 1;
        let beat = Heartbeat {
            id: only(&rig),
            seq,
            ver: 2,
            listeners: Default::default(),
            pools: Default::default(),
            boot: None,
            generation: Some(1),
            faults: vec![],
            vrrp: None,
            partial: false,
        };
        health.datagram(&beat.seal(key.as_bytes()).unwrap());
    };
    let counted = || {
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        text
    };
    beat(KEY);
    beat("another key");
    rig.certs.roll("another key");
    beat("another key");
    beat(KEY);
    let text = counted();
    for line in [
        "heartbeats_accepted_total 3",
        "heartbeats_refused_total{reason=\"signature\"} 1",
        "heartbeats_signed_total{key=\"newest\"} 2",
        "heartbeats_signed_total{key=\"previous\"} 1",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    rig.certs.finish();
    health.scan().await.unwrap();
    beat(KEY);
    assert!(counted().contains("heartbeats_accepted_total 3"), "{}", counted());
    beat("another key");
    assert!(counted().contains("heartbeats_accepted_total 4"), "{}", counted());
}
