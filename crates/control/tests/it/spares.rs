//! Spares: made before anybody needs them, adopted by one, and looked after until then.

use octavia_cloud::CertIssuer;
use octavia_control::{Reconciled, SpareKeeper};
use octavia_model::{Amphora, AmphoraStatus as S, ProvisioningStatus as P, Topology};
use octavia_wire::BootConfig;

use crate::rig::Rig;

async fn spares(rig: &Rig) -> Vec<Amphora> {
    rig.store.spare_list(None).await.unwrap()
}

/// A rig with all its spares, and whose compute service takes for ever to boot another.
async fn filled(size: usize) -> (Rig, SpareKeeper) {
    let mut rig = Rig::new().await;
    rig.options.spares = true;
    let keeper = rig.keeper(size);
    for _ in 0..=2 * size {
        keeper.look().await;
    }
    assert!(spares(&rig).await.iter().all(|row| row.status == S::Ready));
    assert_eq!(spares(&rig).await.len(), size);
    rig.cloud.facts().boot_polls = u32::MAX;
    rig.cloud.facts().calls.clear();
    (rig, keeper)
}

/// How often a server was asked for, and how many spares there are.
async fn made_and_kept(rig: &Rig) -> (usize, usize) {
    let made = rig.cloud.facts().calls_of("server_ensure");
    (made, spares(rig).await.len())
}

#[tokio::test]
async fn a_creation_waits_for_no_boot() {
    let (rig, keeper) = filled(2).await;
    let spare = spares(&rig).await.remove(0);
    let boot = rig.cloud.facts().servers[&spare.id].files[BootConfig::FILE].clone();
    let boot: BootConfig = serde_json::from_slice(&boot).unwrap();
    assert_eq!((boot.load_balancer_id, boot.papers.mark), (None, rig.certs.trust().mark()));

    let lb = rig.active().await;
    assert_eq!(rig.cloud.facts().calls_of("server_ensure"), 0, "it was there");
    let row = rig.store.amphora_fetch(spare.id).await.unwrap().unwrap();
    assert_eq!((row.status, row.load_balancer_id), (S::Allocated, Some(lb)));
    assert!(row.ha_ip.is_some() && row.ha_port_id.is_some() && row.role.is_some());
    assert_eq!(spares(&rig).await.len(), 1);
    // Another takes its place, and leaves alone what is not its own any more.
    keeper.look().await;
    let rows = spares(&rig).await;
    assert_eq!((rows.len(), rows.iter().filter(|row| row.status == S::Ready).count()), (2, 1));
    assert_eq!(rig.reconcile(lb).await, Reconciled::Done);
    rig.lb_delete(lb).await;
    assert_eq!(rig.reconcile(lb).await, Reconciled::Deleted);
    assert!(!rig.cloud.facts().servers.contains_key(&spare.id));
}

#[tokio::test]
async fn a_failover_waits_for_no_boot() {
    let (rig, _pool) = filled(2).await;
    let lb = rig.active().await;
    let spare = spares(&rig).await.remove(0).id;
    rig.store.lb_failover(lb, &[P::Active], octavia_store::Which::All).await.unwrap();
    assert_eq!(rig.reconcile(lb).await, Reconciled::Done);
    assert_eq!(rig.cloud.facts().servers.keys().copied().collect::<Vec<_>>(), [spare]);
    assert_eq!(rig.cloud.facts().calls_of("server_ensure"), 0);
    assert_eq!(spares(&rig).await, []);
}

#[tokio::test]
async fn without_a_spare_that_answers_one_is_made() {
    let (rig, _pool) = filled(1).await;
    let spare = spares(&rig).await.remove(0).id;
    rig.cloud.facts().boot_polls = 0;
    rig.cloud.facts().servers.get_mut(&spare).unwrap().polls_left = u32::MAX;
    rig.active().await;
    assert_eq!(made_and_kept(&rig).await, (1, 1));
}

/// Where the other one is nobody has looked.
#[tokio::test]
async fn of_a_pair_at_most_one_is_a_spare() {
    let (rig, _pool) = filled(2).await;
    rig.cloud.facts().boot_polls = 0;
    let lb = rig.lb_create_as(|graph| graph.load_balancer.topology = Topology::ActiveStandby).await;
    assert_eq!(rig.reconcile(lb).await, Reconciled::Done);
    assert_eq!(made_and_kept(&rig).await, (1, 1));
}

#[tokio::test]
async fn spares_are_looked_after() {
    let (rig, keeper) = filled(2).await;
    // Papers of today.
    rig.certs.roll("another key");
    keeper.look().await;
    assert_eq!(rig.cloud.facts().calls_of("papers_push"), 2);
    assert!(spares(&rig).await.iter().all(|row| row.cert_authority.as_deref() == Some("authority 1")));
    keeper.look().await;
    assert_eq!(rig.cloud.facts().calls_of("papers_push"), 2);
    // One whose server is gone.
    let lost = spares(&rig).await.remove(0).id;
    rig.cloud.facts().servers.remove(&lost);
    rig.cloud.facts().boot_polls = 0;
    for _ in 0..4 {
        keeper.look().await;
    }
    let rows = spares(&rig).await;
    assert!(rows.len() == 2 && rows.iter().all(|row| row.status == S::Ready && row.id != lost), "{rows:?}");
    // What is not wanted any more goes, and its servers with it.
    rig.keeper(0).look().await;
    assert_eq!((spares(&rig).await, rig.cloud.facts().servers.len()), (vec![], 0));
}

/// What fails in the midst is taken up by the next look, or by another daemon.
#[tokio::test]
async fn a_compute_service_in_trouble_leaves_nothing_behind() {
    let mut rig = Rig::new().await;
    rig.options.spares = true;
    let (one, other) = (rig.keeper(1), rig.keeper(1));
    rig.cloud.facts().compute_down = true;
    for _ in 0..3 {
        one.look().await;
        other.look().await;
    }
    assert_eq!(spares(&rig).await.len(), 1);
    rig.cloud.facts().compute_down = false;
    for _ in 0..3 {
        futures::join!(one.look(), other.look());
    }
    let rows = spares(&rig).await;
    assert!(rows.len() == 1 && rows[0].status == S::Ready, "{rows:?}");
    assert_eq!(rig.cloud.facts().servers.len(), 1);
}
