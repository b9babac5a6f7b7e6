use sea_orm::entity::prelude::*;

/// What is shown is base + current: the current counters are of the data plane's start `boot`, the base sums up what
/// was counted before it.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "listener_statistics")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub listener_id: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub amphora_id: String,
    pub load_balancer_id: String,
    pub boot: Option<String>,
    pub base_bytes_in: i64,
    pub base_bytes_out: i64,
    pub base_total_connections: i64,
    pub base_request_errors: i64,
    pub bytes_in: i64,
    pub bytes_out: i64,
    pub total_connections: i64,
    pub request_errors: i64,
    pub active_connections: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
