//! Writing heartbeats: one with what it changes, or many that only say that they live and what they counted.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use jiff::Timestamp;
use octavia_model::{AmphoraId, AmphoraStatus, ListenerId, SEQ_FOR_LIFE, VrrpState};
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::OnConflict;
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, FromQueryResult,
    IntoActiveModel, Iterable, JoinType, QueryFilter, QueryOrder, QuerySelect,
};
use uuid::Uuid;

use crate::amphora::amphora_read;
use crate::entity::codec::{self, Decode};
use crate::entity::{amphora, listener, listener_statistics, load_balancer};
use crate::fetch::root_lock;
use crate::health::statuses_write;
use crate::options::Call;
use crate::retry::framed;
use crate::write::CHUNK;
use crate::{Statistics, StatusWrites, Store, StoreError, stats};

/// For agents that count anew when they start again: a beat with a number not higher than the last one's is late or
/// double within this time, in microseconds, of it. Datagrams do not travel longer.
const REORDERED: i64 = 5_000_000;

/// A sign of life further ahead than this, in microseconds, of a newer one is of a clock that has gone back since.
const AHEAD: i64 = 60_000_000;

/// How the counters of a heartbeat count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Report {
    /// Since the data plane's start, which the id names; `None` where it does not say (the original's version 2).
    Totals { boot: Option<Uuid> },
    /// Since the last heartbeat (the original's version 3).
    Differences,
}

/// One accepted heartbeat.
#[derive(Debug, Clone, PartialEq)]
pub struct HeartbeatWrite {
    pub amphora: AmphoraId,
    /// A beat whose number is not higher than the last one's is late, double or replayed, and changes nothing. Only
    /// where that was below [`SEQ_FOR_LIFE`], five seconds later it is an agent that started again.
    pub seq: u64,
    pub received_at: Timestamp,
    /// Whether the beat counts as a sign of life (it does not when nothing carries the traffic).
    pub alive: bool,
    /// The generation the data plane runs; `None` leaves the row's.
    pub applied_generation: Option<u64>,
    pub report: Report,
    /// Counters by listener; listeners unknown to the amphora's load balancer are left out.
    pub statistics: BTreeMap<ListenerId, Statistics>,
    pub statuses: StatusWrites,
    /// What it does about the VIPs that another could have, too.
    pub vrrp: Option<VrrpState>,
}

/// What the roll-up of a heartbeat depends on in the rows: as long as it is the same, so is what the same heartbeat
/// means. Whoever writes rows of children alone, as a review of another heartbeat may, is followed by a worker: its lease is
/// part of the mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark(pub u64);

/// What became of a heartbeat that was written with others, and the mark of its load balancer just before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acknowledged {
    Taken(Mark),
    /// Late or double: nothing was written.
    Late(Mark),
    /// There is no such amphora in service.
    Gone,
}

/// The columns of an amphora that heartbeats are judged by, or write.
#[derive(Debug, Clone, FromQueryResult)]
struct Life {
    id: String,
    load_balancer_id: Option<String>,
    status: String,
    applied_generation: i64,
    last_heartbeat_at: Option<i64>,
    created_at: i64,
    beat_seq: Option<i64>,
    beat_at: Option<i64>,
    boot: Option<String>,
    previous_boot: Option<String>,
    to_replace: bool,
    vrrp_state: Option<String>,
    vrrp_since: Option<i64>,
}

impl Store {
    /// Writes what a heartbeat says. Returns false when it was late, double, or of an amphora that is gone: then
    /// nothing was written.
    pub async fn heartbeat_apply(&self, beat: &HeartbeatWrite) -> Result<bool, StoreError> {
        Ok(self.heartbeat_review(beat, Mark(0)).await?.is_some())
    }

    /// The same with statuses that were judged where the mark was this one. Returns the mark where they were judged
    /// anew: the one that this write makes of the given one, or that one itself if the rows have become others meanwhile.
    pub async fn heartbeat_review(
        &self,
        beat: &HeartbeatWrite,
        judged: Mark,
    ) -> Result<Option<Mark>, StoreError> {
        let call = Call::of("heartbeat_apply");
        framed!(self, call, self.heartbeat_review_once(beat, judged))
    }

    async fn heartbeat_review_once(
        &self,
        beat: &HeartbeatWrite,
        judged: Mark,
    ) -> Result<Option<Mark>, StoreError> {
        let tx = self.begin_write().await?;
        if !beat.statuses.is_empty() {
            // The root comes first, as in every other write, so that no two writers wait for each other.
            let lb = amphora_read(&tx, beat.amphora).await?.and_then(|row| row.load_balancer_id);
            let lb = Decode("amphora").parse_option("load_balancer_id", lb.as_deref())?;
            let root = match lb {
                Some(lb) => root_lock(&tx, lb).await?,
                None => None,
            };
            if root.is_none() {
                tx.rollback().await?;
                return Ok(None);
            }
        }
        let before = marks_read(&tx, &[beat.amphora]).await?;
        let lives = lives_lock(&tx, &[beat.amphora]).await?;
        let life = lives.get(&codec::id(beat.amphora)).filter(|life| !life.is_late(beat));
        let Some((life, lb)) = life.and_then(|life| Some((life, life.serves()?))) else {
            tx.rollback().await?;
            return Ok(None);
        };
        let changes = !beat.statuses.is_empty() || beat.applied_generation.is_some();
        lives_write(&tx, vec![life.with(beat)]).await?;
        statistics_write(&tx, &[(lb, beat)]).await?;
        statuses_write(&tx, lb, &beat.statuses).await?;
        let id = codec::id(beat.amphora);
        let mark = match before.get(&id) {
            Some(before) if *before == judged && changes => {
                marks_read(&tx, &[beat.amphora]).await?.get(&id).copied()
            }
            _ => None,
        };
        tx.commit().await?;
        Ok(Some(mark.unwrap_or(judged)))
    }

    /// Writes what many heartbeats say beside statuses, which are not looked at; of an amphora at most one.
    pub async fn heartbeats_apply(&self, beats: &[HeartbeatWrite]) -> Result<Vec<Acknowledged>, StoreError> {
        let mut all = Vec::with_capacity(beats.len());
        for beats in beats.chunks(CHUNK) {
            let call = Call::of("heartbeats_apply");
            let written: Result<_, StoreError> = framed!(self, call, self.heartbeats_apply_once(beats));
            all.extend(written?);
        }
        Ok(all)
    }

    async fn heartbeats_apply_once(&self, beats: &[HeartbeatWrite]) -> Result<Vec<Acknowledged>, StoreError> {
        let amphorae: Vec<_> = beats.iter().map(|beat| beat.amphora).collect();
        let tx = self.begin_write().await?;
        // First, so that whoever writes between this and the next line makes a difference to the next mark.
        let marks = marks_read(&tx, &amphorae).await?;
        let lives = lives_lock(&tx, &amphorae).await?;
        let (mut written, mut counted, mut outcome) = (vec![], vec![], vec![]);
        for beat in beats {
            let id = codec::id(beat.amphora);
            let there = lives.get(&id).and_then(|life| Some((life, life.serves()?))).zip(marks.get(&id));
            outcome.push(match there {
                None => Acknowledged::Gone,
                Some(((life, _), mark)) if life.is_late(beat) => Acknowledged::Late(*mark),
                Some(((life, lb), mark)) => {
                    written.push(life.with(beat));
                    counted.push((lb, beat));
                    Acknowledged::Taken(*mark)
                }
            });
        }
        lives_write(&tx, written).await?;
        statistics_write(&tx, &counted).await?;
        tx.commit().await?;
        Ok(outcome)
    }
}

impl Mark {
    pub(crate) fn of(root: &load_balancer::Model, amphora: &amphora::Model) -> Self {
        Self::new(&(
            root.generation,
            root.provisioning_status.clone(),
            root.operating_status.clone(),
            root.lease_epoch,
            root.updated_at,
            amphora.applied_generation,
        ))
    }

    fn new(columns: &MarkColumns) -> Self {
        let mut hasher = DefaultHasher::new();
        columns.hash(&mut hasher);
        Self(hasher.finish())
    }
}

type MarkColumns = (i64, String, String, i64, Option<i64>, i64);

/// By amphora; of those that have a load balancer.
async fn marks_read(
    db: &impl ConnectionTrait,
    amphorae: &[AmphoraId],
) -> Result<BTreeMap<String, Mark>, StoreError> {
    use load_balancer::Column;

    #[derive(FromQueryResult)]
    struct Row {
        amphora: String,
        generation: i64,
        provisioning_status: String,
        operating_status: String,
        lease_epoch: i64,
        updated_at: Option<i64>,
        applied_generation: i64,
    }

    let lb = amphora::Entity::belongs_to(load_balancer::Entity)
        .from(amphora::Column::LoadBalancerId)
        .to(Column::Id)
        .into();
    let rows = amphora::Entity::find()
        .select_only()
        .column_as(amphora::Column::Id, "amphora")
        .columns([Column::Generation, Column::ProvisioningStatus, Column::OperatingStatus])
        .columns([Column::LeaseEpoch, Column::UpdatedAt])
        .column(amphora::Column::AppliedGeneration)
        .join(JoinType::InnerJoin, lb)
        .filter(amphora::Column::Id.is_in(amphorae.iter().map(|id| codec::id(*id))))
        .into_model::<Row>()
        .all(db)
        .await?;
    let mark = |row: Row| {
        let mark = Mark::new(&(
            row.generation,
            row.provisioning_status,
            row.operating_status,
            row.lease_epoch,
            row.updated_at,
            row.applied_generation,
        ));
        (row.amphora, mark)
    };
    Ok(rows.into_iter().map(mark).collect())
}

/// Locks them, always in the same order.
async fn lives_lock(
    tx: &DatabaseTransaction,
    amphorae: &[AmphoraId],
) -> Result<BTreeMap<String, Life>, StoreError> {
    use amphora::Column;

    let rows = amphora::Entity::find()
        .select_only()
        .columns([Column::Id, Column::LoadBalancerId, Column::Status, Column::AppliedGeneration])
        .columns([Column::LastHeartbeatAt, Column::CreatedAt, Column::BeatSeq, Column::BeatAt])
        .columns([Column::Boot, Column::PreviousBoot, Column::ToReplace])
        .columns([Column::VrrpState, Column::VrrpSince])
        .filter(Column::Id.is_in(amphorae.iter().map(|id| codec::id(*id))))
        .order_by_asc(Column::Id)
        .lock_exclusive()
        .into_model::<Life>()
        .all(tx)
        .await?;
    Ok(rows.into_iter().map(|life| (life.id.clone(), life)).collect())
}

/// The rows are there, and locked: nothing is inserted.
async fn lives_write(tx: &DatabaseTransaction, lives: Vec<Life>) -> Result<(), StoreError> {
    use amphora::Column;

    if lives.is_empty() {
        return Ok(());
    }
    let row = |life: Life| amphora::ActiveModel {
        id: Set(life.id),
        status: Set(life.status),
        applied_generation: Set(life.applied_generation),
        last_heartbeat_at: Set(life.last_heartbeat_at),
        created_at: Set(life.created_at),
        beat_seq: Set(life.beat_seq),
        beat_at: Set(life.beat_at),
        boot: Set(life.boot),
        previous_boot: Set(life.previous_boot),
        to_replace: Set(life.to_replace),
        vrrp_state: Set(life.vrrp_state),
        vrrp_since: Set(life.vrrp_since),
        ..Default::default()
    };
    let ours = [
        Column::AppliedGeneration,
        Column::LastHeartbeatAt,
        Column::BeatSeq,
        Column::BeatAt,
        Column::Boot,
        Column::PreviousBoot,
        Column::VrrpState,
        Column::VrrpSince,
    ];
    amphora::Entity::insert_many(lives.into_iter().map(row))
        .on_conflict(OnConflict::column(Column::Id).update_columns(ours).to_owned())
        .exec_without_returning(tx)
        .await?;
    Ok(())
}

impl Life {
    /// Its load balancer, unless it is gone.
    fn serves(&self) -> Option<&str> {
        self.load_balancer_id.as_deref().filter(|_| self.status != AmphoraStatus::Deleted.as_str())
    }

    /// Whether a beat that counted already was sent after this one, or is this one.
    fn is_late(&self, beat: &HeartbeatWrite) -> bool {
        let (Some(seq), Some(at)) = (self.beat_seq, self.beat_at) else { return false };
        if seq >= codec::count(SEQ_FOR_LIFE) {
            return codec::count(beat.seq) <= seq;
        }
        let of_an_older_start = match beat.report {
            Report::Totals { boot: Some(boot) } => self.previous_boot == Some(boot.to_string()),
            Report::Totals { boot: None } | Report::Differences => false,
        };
        // Only soon: a beat from two starts ago makes the start in between the older one, and the living one unheard.
        let since = codec::micros(beat.received_at).saturating_sub(at);
        let soon = (-AHEAD..REORDERED).contains(&since);
        soon && (of_an_older_start || codec::count(beat.seq) <= seq)
    }

    fn with(&self, beat: &HeartbeatWrite) -> Self {
        let at = codec::micros(beat.received_at);
        let mut life = Self { beat_seq: Some(codec::count(beat.seq)), beat_at: Some(at), ..self.clone() };
        if beat.alive {
            let ahead = self.last_heartbeat_at.filter(|last| *last <= at.saturating_add(AHEAD));
            life.last_heartbeat_at = Some(Ord::max(at, ahead.unwrap_or(at)));
        }
        if let Some(generation) = beat.applied_generation {
            // A worker may have recorded a higher one since the beat was judged.
            life.applied_generation = Ord::max(codec::count(generation), self.applied_generation);
        }
        if let Report::Totals { boot: Some(boot) } = beat.report {
            let boot = boot.to_string();
            if self.boot.as_ref() != Some(&boot) {
                life.previous_boot = self.boot.clone();
                life.boot = Some(boot);
            }
        }
        let vrrp = beat.vrrp.map(|state| state.to_string());
        if life.vrrp_state != vrrp {
            (life.vrrp_state, life.vrrp_since) = (vrrp, Some(at));
        }
        life
    }
}

/// Takes the counters of beats in, each of an amphora of its own, with its load balancer; of those that did not move
/// nothing is written.
async fn statistics_write(
    tx: &DatabaseTransaction,
    beats: &[(&str, &HeartbeatWrite)],
) -> Result<(), StoreError> {
    use listener_statistics::{Column, Entity};

    let counted = || beats.iter().filter(|(_, beat)| !beat.statistics.is_empty());
    let amphorae: Vec<_> = counted().map(|(_, beat)| codec::id(beat.amphora)).collect();
    if amphorae.is_empty() {
        return Ok(());
    }
    let rows = Entity::find().filter(Column::AmphoraId.is_in(amphorae)).all(tx).await?;
    let key = |row: &listener_statistics::Model| (row.amphora_id.clone(), row.listener_id.clone());
    let mut rows: BTreeMap<_, _> = rows.into_iter().map(|row| (key(&row), row)).collect();
    let has_new = |beat: &HeartbeatWrite| {
        let amphora = codec::id(beat.amphora);
        beat.statistics.keys().any(|id| !rows.contains_key(&(amphora.clone(), codec::id(*id))))
    };
    let growing: BTreeSet<_> = counted().filter(|(_, beat)| has_new(beat)).map(|(lb, _)| *lb).collect();
    // Of a load balancer and a listener.
    let known: BTreeSet<(String, String)> = if growing.is_empty() {
        BTreeSet::new()
    } else {
        let listeners = listener::Entity::find()
            .select_only()
            .columns([listener::Column::LoadBalancerId, listener::Column::Id])
            .filter(listener::Column::LoadBalancerId.is_in(growing));
        listeners.into_tuple().all(tx).await?.into_iter().collect()
    };
    let mut changed = vec![];
    for (lb, beat) in counted() {
        let amphora = codec::id(beat.amphora);
        for (listener, statistics) in &beat.statistics {
            let listener = codec::id(*listener);
            let (mut row, is_new) = match rows.remove(&(amphora.clone(), listener.clone())) {
                Some(row) => (row, false),
                None if known.contains(&((*lb).to_owned(), listener.clone())) => {
                    (stats::fresh(listener, amphora.clone(), (*lb).to_owned()), true)
                }
                None => continue,
            };
            let old = row.clone();
            stats::count(&mut row, beat.report, statistics);
            if is_new || row != old {
                changed.push(row.into_active_model().reset_all());
            }
        }
    }
    for rows in changed.chunks(CHUNK) {
        let counters =
            Column::iter().filter(|column| !matches!(column, Column::ListenerId | Column::AmphoraId));
        Entity::insert_many(rows.to_vec())
            .on_conflict(
                OnConflict::columns([Column::ListenerId, Column::AmphoraId])
                    .update_columns(counters)
                    .to_owned(),
            )
            .exec_without_returning(tx)
            .await?;
    }
    Ok(())
}
