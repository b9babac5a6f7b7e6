//! Flavors, availability zones and their profiles: what refers to what, and what that forbids.

use octavia_model::*;
use octavia_store::{
    AvailabilityZoneChange, CatalogueError, Duplicate, FlavorChange, ListQuery, Missing, ProfileChange,
    Store, StoreError,
};

use crate::databases::on_all;
use crate::lease::acquire;
use crate::sample;

fn text(word: &str) -> String {
    format!("{word} ñ “quoted” \\ 'x' \u{1F980} ")
}

/// A profile and a flavor, a profile and a zone, with something unusual in every column.
async fn offer(store: &Store) -> (FlavorProfile, Flavor, AvailabilityZoneProfile, AvailabilityZone) {
    let (flavor_profile, flavor) = sample::flavor(FlavorId::new_v4());
    let (zone_profile, zone) = sample::availability_zone(&text("zone"));
    store.flavor_profile_insert(&flavor_profile).await.unwrap();
    store.flavor_insert(&flavor).await.unwrap();
    store.availability_zone_profile_insert(&zone_profile).await.unwrap();
    store.availability_zone_insert(&zone).await.unwrap();
    (flavor_profile, flavor, zone_profile, zone)
}

fn load_balancer(flavor: Option<FlavorId>, zone: Option<&str>) -> LoadBalancerGraph {
    let mut lb = sample::load_balancer("project", "lb");
    lb.flavor_id = flavor;
    lb.availability_zone = zone.map(str::to_owned);
    LoadBalancerGraph::new(lb)
}

#[track_caller]
fn refused<T: std::fmt::Debug>(answer: Result<T, CatalogueError>, expected: &str) {
    assert_eq!(format!("{:?}", answer.unwrap_err()), expected);
}

#[tokio::test]
async fn what_is_written_is_read() {
    on_all(|store| async move {
        let (flavor_profile, flavor, zone_profile, zone) = offer(&store).await;
        let (fp, f, zp) = (flavor_profile.id, flavor.id, zone_profile.id);
        assert_eq!(store.flavor_profile_fetch(fp).await.unwrap().as_ref(), Some(&flavor_profile));
        assert_eq!(store.flavor_fetch(f).await.unwrap().as_ref(), Some(&flavor));
        assert_eq!(store.availability_zone_profile_fetch(zp).await.unwrap().as_ref(), Some(&zone_profile));
        assert_eq!(store.availability_zone_fetch(&zone.name).await.unwrap().as_ref(), Some(&zone));
        assert_eq!(store.availability_zone_fetch(zone.name.trim_end()).await.unwrap(), None);
        let all = ListQuery::default();
        assert_eq!(store.flavor_profile_list(&all).await.unwrap().items, [flavor_profile]);
        assert_eq!(store.flavor_list(&all).await.unwrap().items.first(), Some(&flavor));
        assert_eq!(store.availability_zone_profile_list(&all).await.unwrap().items, [zone_profile]);
        assert_eq!(store.availability_zone_list(&all).await.unwrap().items.first(), Some(&zone));

        // Nothing to change is no change.
        let same = store.flavor_update(f, &FlavorChange::default()).await.unwrap();
        assert_eq!(same, flavor);
        let change = FlavorChange { name: Some("n".to_owned()), enabled: Some(true), ..Default::default() };
        let changed = store.flavor_update(f, &change).await.unwrap();
        assert_eq!(changed, Flavor { name: "n".to_owned(), enabled: true, ..flavor });
        assert_eq!(store.flavor_fetch(f).await.unwrap(), Some(changed));
        let change = AvailabilityZoneChange { description: Some(String::new()), enabled: Some(true) };
        let changed = store.availability_zone_update(&zone.name, &change).await.unwrap();
        assert_eq!(changed, AvailabilityZone { description: String::new(), enabled: true, ..zone });
    })
    .await;
}

#[tokio::test]
async fn names_are_unique_and_profiles_are_there() {
    on_all(|store| async move {
        let (_, flavor, _, zone) = offer(&store).await;
        let twin = Flavor { id: FlavorId::new_v4(), ..flavor.clone() };
        let duplicate = format!("Store(Duplicate({:?}))", Duplicate::FlavorName);
        refused(store.flavor_insert(&twin).await, &duplicate);
        let other = Flavor { name: "other".to_owned(), ..twin };
        store.flavor_insert(&other).await.unwrap();
        let change = FlavorChange { name: Some(flavor.name.clone()), ..Default::default() };
        refused(store.flavor_update(other.id, &change).await, &duplicate);
        refused(
            store.availability_zone_insert(&zone).await,
            &format!("Store(Duplicate({:?}))", Duplicate::AvailabilityZone),
        );
        let stray = Flavor {
            id: FlavorId::new_v4(),
            name: "stray".to_owned(),
            flavor_profile_id: FlavorProfileId::new_v4(),
            ..flavor
        };
        refused(store.flavor_insert(&stray).await, "NoProfile");
        let stray = AvailabilityZone {
            name: "stray".to_owned(),
            availability_zone_profile_id: AvailabilityZoneProfileId::new_v4(),
            ..zone
        };
        refused(store.availability_zone_insert(&stray).await, "NoProfile");
    })
    .await;
}

#[tokio::test]
async fn what_is_referred_to_stays_as_it_is() {
    on_all(|store| async move {
        let (flavor_profile, flavor, zone_profile, zone) = offer(&store).await;
        let (fp, zp) = (flavor_profile.id, zone_profile.id);
        let rename = ProfileChange { name: Some("n".to_owned()), ..Default::default() };
        assert_eq!(store.flavor_profile_update(fp, &rename).await.unwrap().name, "n");
        assert_eq!(store.availability_zone_profile_update(zp, &rename).await.unwrap().name, "n");
        let meaning = |provider: bool| ProfileChange {
            provider_name: provider.then(|| "octavia".to_owned()),
            data: (!provider).then(|| "{ }".to_owned()),
            ..rename.clone()
        };
        for change in [meaning(true), meaning(false)] {
            refused(store.flavor_profile_update(fp, &change).await, "InUse");
            refused(store.availability_zone_profile_update(zp, &change).await, "InUse");
        }
        refused(store.flavor_profile_delete(fp).await, "InUse");
        refused(store.availability_zone_profile_delete(zp).await, "InUse");

        let lb = store.lb_create(&load_balancer(Some(flavor.id), Some(&zone.name))).await.unwrap();
        refused(store.flavor_delete(flavor.id).await, "InUse");
        refused(store.availability_zone_delete(&zone.name).await, "InUse");
        store.flavor_update(flavor.id, &FlavorChange::default()).await.unwrap();
        let lb = lb.load_balancer.id;
        store.lb_deleted(&acquire(&store, lb).await).await.unwrap();
        store.flavor_delete(flavor.id).await.unwrap();
        store.availability_zone_delete(&zone.name).await.unwrap();

        let changed = store.flavor_profile_update(fp, &meaning(false)).await.unwrap();
        assert_eq!((changed.name.as_str(), changed.flavor_data.as_str()), ("n", "{ }"));
        let changed = store.availability_zone_profile_update(zp, &meaning(true)).await.unwrap();
        assert_eq!(changed.provider_name, "octavia");
        store.flavor_profile_delete(fp).await.unwrap();
        store.availability_zone_profile_delete(zp).await.unwrap();

        refused(store.flavor_delete(flavor.id).await, "NotFound");
        refused(store.flavor_update(flavor.id, &FlavorChange::default()).await, "NotFound");
        refused(store.flavor_profile_delete(fp).await, "NotFound");
        refused(store.flavor_profile_update(fp, &rename).await, "NotFound");
        refused(store.availability_zone_delete(&zone.name).await, "NotFound");
        refused(store.availability_zone_profile_update(zp, &rename).await, "NotFound");
    })
    .await;
}

#[tokio::test]
async fn a_load_balancer_is_made_only_of_what_is_there() {
    on_all(|store| async move {
        let (_, flavor, _, zone) = offer(&store).await;
        for (graph, missing) in [
            (load_balancer(Some(FlavorId::new_v4()), Some(&zone.name)), Missing::Flavor),
            (load_balancer(Some(flavor.id), Some("nowhere")), Missing::AvailabilityZone),
        ] {
            let error = store.lb_create(&graph).await.unwrap_err();
            assert!(matches!(&error, StoreError::Missing(found) if *found == missing), "{error:?}");
        }
        assert!(store.lb_list(&ListQuery::default()).await.unwrap().items.is_empty());
    })
    .await;
}

/// Whoever comes first wins: never a load balancer of a flavor that is gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn creation_and_removal_at_once() {
    on_all(|store| async move {
        for _ in 0..10 {
            let (profile, flavor) = sample::flavor(FlavorId::new_v4());
            store.flavor_profile_insert(&profile).await.unwrap();
            store.flavor_insert(&flavor).await.unwrap();
            let graph = load_balancer(Some(flavor.id), None);
            let (made, removed) = tokio::join!(store.lb_create(&graph), store.flavor_delete(flavor.id));
            let there = store.flavor_fetch(flavor.id).await.unwrap().is_some();
            assert_eq!((made.is_ok(), removed.is_ok()), (there, !there), "{made:?} {removed:?}");
        }
    })
    .await;
}
