//! What is removed, and what is not.

use octavia_cloud::{Compute, Placement, ServerRequest};
use octavia_model::{AmphoraId, LoadBalancerId, ProvisioningStatus as P};

use crate::rig::Rig;

#[tokio::test]
async fn orphans_are_removed_after_a_while_and_nothing_else() {
    let rig = Rig::new().await;
    let lb = rig.active().await;
    let orphan = AmphoraId::new_v4();
    let nobody = LoadBalancerId::new_v4();
    let request = ServerRequest {
        amphora_id: orphan,
        load_balancer_id: Some(nobody),
        files: vec![],
        placement: Placement::default(),
    };
    rig.cloud.server_ensure(&request).await.unwrap();
    rig.cloud.facts().vips.insert(nobody);
    let housekeeping = rig.housekeeping();

    let swept = housekeeping.sweep().await;
    assert_eq!((swept.servers, swept.vips), (vec![], vec![]));
    rig.clock.forward(301);
    // could not ask for servers: then nobody knows whether one still uses the address
    rig.cloud.facts().compute_down = true;
    let swept = housekeeping.sweep().await;
    assert_eq!((swept.servers, swept.vips), (vec![], vec![]));
    rig.cloud.facts().compute_down = false;
    let swept = housekeeping.sweep().await;
    assert_eq!((swept.servers, swept.vips), (vec![orphan], vec![nobody]));
    assert_eq!(rig.cloud.facts().servers.len(), 1);
    assert_eq!(rig.cloud.facts().vips.iter().copied().collect::<Vec<_>>(), [lb]);
}

#[tokio::test]
async fn deleted_rows_go_after_a_week_and_hanging_ones_are_shown() {
    let rig = Rig::new().await;
    let lb = rig.active().await;
    rig.lb_delete(lb).await;
    rig.reconcile(lb).await;
    let hanging = rig.lb_create().await;
    let housekeeping = rig.housekeeping();
    assert_eq!(housekeeping.sweep().await.rows, 0);
    rig.clock.forward(26 * 60);
    assert_eq!(housekeeping.sweep().await.expired, [hanging]);
    assert_eq!(rig.statuses(hanging).await.provisioning, P::Error);
    rig.clock.forward(7 * 24 * 3600);
    let swept = housekeeping.sweep().await;
    assert_eq!((swept.rows, swept.expired), (2, vec![]), "the load balancer and its amphora");
}
