//! What each endpoint does, one module per resource and the same shape in each: decode → find → authorize → check →
//! change → show.

mod amphora;
mod availability_zone;
mod availability_zone_profile;
mod flavor;
mod flavor_profile;
mod health_monitor;
mod l7policy;
mod l7rule;
mod listener;
mod load_balancer;
mod member;
mod pool;
mod provider;
mod quota;
mod replay;

use crate::call::{Answer, Call};
use crate::endpoint::Operation as Op;
use crate::fault::Fault;
use crate::request::profile::ProfileKind;

pub(crate) use replay::replay;

pub(crate) async fn dispatch(call: &Call) -> Result<Answer, Fault> {
    match call.endpoint.operation {
        Op::LoadBalancerList => load_balancer::list(call).await,
        Op::LoadBalancerCreate => load_balancer::create(call).await,
        Op::LoadBalancerShow => load_balancer::show(call).await,
        Op::LoadBalancerUpdate => load_balancer::update(call).await,
        Op::LoadBalancerDelete => load_balancer::delete(call).await,
        Op::LoadBalancerStatus => load_balancer::status(call).await,
        Op::LoadBalancerStats => load_balancer::stats(call).await,
        Op::LoadBalancerFailover => load_balancer::failover(call).await,
        Op::LoadBalancerOperations => load_balancer::operations(call).await,
        Op::ListenerList => listener::list(call).await,
        Op::ListenerCreate => listener::create(call).await,
        Op::ListenerShow => listener::show(call).await,
        Op::ListenerUpdate => listener::update(call).await,
        Op::ListenerDelete => listener::delete(call).await,
        Op::ListenerStats => listener::stats(call).await,
        Op::PoolList => pool::list(call).await,
        Op::PoolCreate => pool::create(call).await,
        Op::PoolShow => pool::show(call).await,
        Op::PoolUpdate => pool::update(call).await,
        Op::PoolDelete => pool::delete(call).await,
        Op::MemberList => member::list(call).await,
        Op::MemberCreate => member::create(call).await,
        Op::MemberBatch => member::batch(call).await,
        Op::MemberShow => member::show(call).await,
        Op::MemberUpdate => member::update(call).await,
        Op::MemberDelete => member::delete(call).await,
        Op::HealthMonitorList => health_monitor::list(call).await,
        Op::HealthMonitorCreate => health_monitor::create(call).await,
        Op::HealthMonitorShow => health_monitor::show(call).await,
        Op::HealthMonitorUpdate => health_monitor::update(call).await,
        Op::HealthMonitorDelete => health_monitor::delete(call).await,
        Op::L7PolicyList => l7policy::list(call).await,
        Op::L7PolicyCreate => l7policy::create(call).await,
        Op::L7PolicyShow => l7policy::show(call).await,
        Op::L7PolicyUpdate => l7policy::update(call).await,
        Op::L7PolicyDelete => l7policy::delete(call).await,
        Op::L7RuleList => l7rule::list(call).await,
        Op::L7RuleCreate => l7rule::create(call).await,
        Op::L7RuleShow => l7rule::show(call).await,
        Op::L7RuleUpdate => l7rule::update(call).await,
        Op::L7RuleDelete => l7rule::delete(call).await,
        Op::AmphoraList => amphora::list(call).await,
        Op::AmphoraShow => amphora::show(call).await,
        Op::AmphoraDelete => amphora::delete(call).await,
        Op::AmphoraStats => amphora::stats(call).await,
        Op::AmphoraConfigure => amphora::configure(call).await,
        Op::AmphoraFailover => amphora::failover(call).await,
        Op::QuotaList => quota::list(call).await,
        Op::QuotaShow => quota::show(call).await,
        Op::QuotaUpdate => quota::update(call).await,
        Op::QuotaDelete => quota::delete(call).await,
        Op::QuotaDefaults => quota::defaults(call),
        Op::ProviderList => provider::list(call),
        Op::FlavorCapabilityList => provider::capability_list(call, ProfileKind::Flavor),
        Op::AvailabilityZoneCapabilityList => provider::capability_list(call, ProfileKind::AvailabilityZone),
        Op::FlavorList => flavor::list(call).await,
        Op::FlavorCreate => flavor::create(call).await,
        Op::FlavorShow => flavor::show(call).await,
        Op::FlavorUpdate => flavor::update(call).await,
        Op::FlavorDelete => flavor::delete(call).await,
        Op::FlavorProfileList => flavor_profile::list(call).await,
        Op::FlavorProfileCreate => flavor_profile::create(call).await,
        Op::FlavorProfileShow => flavor_profile::show(call).await,
        Op::FlavorProfileUpdate => flavor_profile::update(call).await,
        Op::FlavorProfileDelete => flavor_profile::delete(call).await,
        Op::AvailabilityZoneList => availability_zone::list(call).await,
        Op::AvailabilityZoneCreate => availability_zone::create(call).await,
        Op::AvailabilityZoneShow => availability_zone::show(call).await,
        Op::AvailabilityZoneUpdate => availability_zone::update(call).await,
        Op::AvailabilityZoneDelete => availability_zone::delete(call).await,
        Op::AvailabilityZoneProfileList => availability_zone_profile::list(call).await,
        Op::AvailabilityZoneProfileCreate => availability_zone_profile::create(call).await,
        Op::AvailabilityZoneProfileShow => availability_zone_profile::show(call).await,
        Op::AvailabilityZoneProfileUpdate => availability_zone_profile::update(call).await,
        Op::AvailabilityZoneProfileDelete => availability_zone_profile::delete(call).await,
    }
}
