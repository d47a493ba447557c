"""Obligations, stages, absences, attestations, holds, purges, certificates, findings, anchors, corrections."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "absence",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("person", sa.String(), nullable=False),
        sa.Column("from_day", sa.String(), nullable=False),
        sa.Column("until_day", sa.String(), nullable=False),
        sa.Column("cover", sa.String(), nullable=True),
        sa.Column("at", sa.String(length=27), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("ended_at", sa.String(length=27), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_absence")),
    )
    with op.batch_alter_table("absence", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_absence_person"), ["person"], unique=False)

    op.create_table(
        "anchor",
        sa.Column("day", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("hash", sa.String(), nullable=False),
        sa.Column("at", sa.String(length=27), nullable=False),
        sa.Column("signature", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("day", name=op.f("pk_anchor")),
    )
    op.create_table(
        "feed",
        sa.Column("hash", sa.String(), nullable=False),
        sa.Column("person", sa.String(), nullable=False),
        sa.Column("via_key", sa.String(), nullable=False),
        sa.Column("made_at", sa.String(length=27), nullable=False),
        sa.Column("ended_at", sa.String(length=27), nullable=True),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_feed")),
    )
    with op.batch_alter_table("feed", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_feed_person"), ["person"], unique=False)

    op.create_table(
        "finding",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("code", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("words", sa.Text(), nullable=False),
        sa.Column("at", sa.String(length=27), nullable=False),
        sa.Column("permanent", sa.Boolean(), nullable=False),
        sa.Column("cleared_at", sa.String(length=27), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_finding")),
        sa.UniqueConstraint("code", "subject", name=op.f("uq_finding_code")),
    )
    op.create_table(
        "habit",
        sa.Column("member", sa.String(), nullable=False),
        sa.Column("answers", sa.Text(), nullable=False),
        sa.Column("at", sa.String(length=27), nullable=False),
        sa.PrimaryKeyConstraint("member", name=op.f("pk_habit")),
    )
    op.create_table(
        "heartbeat",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("at", sa.String(length=27), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_heartbeat")),
    )
    op.create_table(
        "obligation",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("exchange", sa.String(), nullable=False),
        sa.Column("period", sa.String(), nullable=False),
        sa.Column("sender", sa.String(), nullable=False),
        sa.Column("recipient", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("opens", sa.String(), nullable=False),
        sa.Column("due_at", sa.String(length=27), nullable=False),
        sa.Column("revision", sa.String(), nullable=False),
        sa.Column("made_at", sa.String(length=27), nullable=False),
        sa.Column("asked_by", sa.String(), nullable=True),
        sa.Column("answer", sa.String(), nullable=False),
        sa.Column("met_at", sa.String(length=27), nullable=True),
        sa.Column("met_by", sa.String(), nullable=True),
        sa.Column("reference", sa.String(), nullable=True),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("blocked", sa.String(), nullable=True),
        sa.Column("closed", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_obligation")),
        sa.UniqueConstraint("exchange", "period", "sender", "recipient", name=op.f("uq_obligation_exchange")),
    )
    with op.batch_alter_table("obligation", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_obligation_due_at"), ["due_at"], unique=False)
        batch_op.create_index("ix_obligation_pair", ["exchange", "period", "sender"], unique=False)
        batch_op.create_index(batch_op.f("ix_obligation_sender"), ["sender"], unique=False)

    op.create_table(
        "outage",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("from_at", sa.String(length=27), nullable=False),
        sa.Column("until_at", sa.String(length=27), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outage")),
    )
    op.create_table(
        "outside_event",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("day", sa.String(), nullable=False),
        sa.Column("at", sa.String(length=27), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("name", "day", name=op.f("pk_outside_event")),
    )
    op.create_table(
        "snooze",
        sa.Column("person", sa.String(), nullable=False),
        sa.Column("about", sa.String(), nullable=False),
        sa.Column("until_day", sa.String(), nullable=False),
        sa.Column("at", sa.String(length=27), nullable=False),
        sa.PrimaryKeyConstraint("person", "about", name=op.f("pk_snooze")),
    )
    op.create_table(
        "stage",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("about", sa.String(), nullable=False),
        sa.Column("stage", sa.String(), nullable=False),
        sa.Column("due_at", sa.String(length=27), nullable=False),
        sa.Column("done_at", sa.String(length=27), nullable=True),
        sa.Column("outcome", sa.String(), nullable=True),
        sa.Column("entry", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_stage")),
        sa.UniqueConstraint("about", "stage", name=op.f("uq_stage_about")),
    )
    with op.batch_alter_table("stage", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_stage_done_at"), ["done_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_stage_due_at"), ["due_at"], unique=False)

    op.create_table(
        "yearly",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("member", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("at", sa.String(length=27), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("answers", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_yearly")),
    )
    with op.batch_alter_table("yearly", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_yearly_member"), ["member"], unique=False)

    op.create_table(
        "stage_told",
        sa.Column("stage", sa.Integer(), nullable=False),
        sa.Column("person", sa.String(), nullable=False),
        sa.Column("day", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["stage"], ["stage.id"], name=op.f("fk_stage_told_stage_stage")),
        sa.PrimaryKeyConstraint("stage", "person", name=op.f("pk_stage_told")),
    )
    with op.batch_alter_table("stage_told", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_stage_told_day"), ["day"], unique=False)

    op.create_table(
        "attestation",
        sa.Column("delivery", sa.String(), nullable=False),
        sa.Column("member", sa.String(), nullable=False),
        sa.Column("received", sa.Integer(), nullable=False),
        sa.Column("kept", sa.Integer(), nullable=False),
        sa.Column("not_ours", sa.Integer(), nullable=False),
        sa.Column("rejected", sa.Integer(), nullable=False),
        sa.Column("processed_at", sa.String(length=27), nullable=False),
        sa.Column("processed_by", sa.String(), nullable=False),
        sa.Column("places", sa.String(), nullable=True),
        sa.Column("backups", sa.String(), nullable=True),
        sa.Column("subcontractors", sa.String(), nullable=True),
        sa.Column("exceptions", sa.String(), nullable=True),
        sa.Column("witness", sa.String(), nullable=True),
        sa.Column("destroyed_at", sa.String(length=27), nullable=True),
        sa.Column("destroyed_by", sa.String(), nullable=True),
        sa.Column("countersigned_at", sa.String(length=27), nullable=True),
        sa.Column("countersigned_by", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(["delivery"], ["delivery.id"], name=op.f("fk_attestation_delivery_delivery")),
        sa.PrimaryKeyConstraint("delivery", name=op.f("pk_attestation")),
    )
    with op.batch_alter_table("attestation", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_attestation_member"), ["member"], unique=False)

    op.create_table(
        "attested_authority",
        sa.Column("delivery", sa.String(), nullable=False),
        sa.Column("la", sa.String(), nullable=False),
        sa.Column("kept", sa.Integer(), nullable=False),
        sa.Column("at", sa.String(length=27), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["delivery"], ["delivery.id"], name=op.f("fk_attested_authority_delivery_delivery")),
        sa.PrimaryKeyConstraint("delivery", "la", name=op.f("pk_attested_authority")),
    )
    op.create_table(
        "certificate",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("delivery", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("at", sa.String(length=27), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("document_signature", sa.Text(), nullable=False),
        sa.Column("page", sa.Text(), nullable=False),
        sa.Column("page_signature", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["delivery"], ["delivery.id"], name=op.f("fk_certificate_delivery_delivery")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_certificate")),
        sa.UniqueConstraint("kind", "delivery", "version", name=op.f("uq_certificate_kind")),
    )
    with op.batch_alter_table("certificate", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_certificate_delivery"), ["delivery"], unique=False)

    op.create_table(
        "correction",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("delivery", sa.String(), nullable=False),
        sa.Column("line", sa.Integer(), nullable=False),
        sa.Column("field", sa.String(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("member", sa.String(), nullable=False),
        sa.Column("at", sa.String(length=27), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("answered_at", sa.String(length=27), nullable=True),
        sa.Column("answered_by", sa.String(), nullable=True),
        sa.Column("answer", sa.String(), nullable=True),
        sa.Column("reissued_by", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(["delivery"], ["delivery.id"], name=op.f("fk_correction_delivery_delivery")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_correction")),
    )
    with op.batch_alter_table("correction", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_correction_delivery"), ["delivery"], unique=False)

    op.create_table(
        "hold",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("delivery", sa.String(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("member", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("at", sa.String(length=27), nullable=False),
        sa.Column("released_at", sa.String(length=27), nullable=True),
        sa.Column("released_by", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(["delivery"], ["delivery.id"], name=op.f("fk_hold_delivery_delivery")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_hold")),
    )
    with op.batch_alter_table("hold", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_hold_delivery"), ["delivery"], unique=False)

    op.create_table(
        "purge",
        sa.Column("delivery", sa.String(), nullable=False),
        sa.Column("rule", sa.String(), nullable=False),
        sa.Column("facts", sa.Text(), nullable=False),
        sa.Column("begun_at", sa.String(length=27), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("unlinked_at", sa.String(length=27), nullable=True),
        sa.Column("certified_at", sa.String(length=27), nullable=True),
        sa.ForeignKeyConstraint(["delivery"], ["delivery.id"], name=op.f("fk_purge_delivery_delivery")),
        sa.PrimaryKeyConstraint("delivery", name=op.f("pk_purge")),
    )
    with op.batch_alter_table("purge", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_purge_certified_at"), ["certified_at"], unique=False)

    with op.batch_alter_table("key_proposal", schema=None) as batch_op:
        batch_op.add_column(sa.Column("status", sa.String(), server_default="open", nullable=False))
        batch_op.add_column(sa.Column("proposal", sa.String(), nullable=True))

    with op.batch_alter_table("delivery", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_delivery_copy_state"), ["copy_state"], unique=False)

    with op.batch_alter_table("notice", schema=None) as batch_op:
        batch_op.add_column(sa.Column("send_at", sa.String(length=27), nullable=True))
        batch_op.add_column(sa.Column("joins", sa.String(), server_default="", nullable=False))
        batch_op.create_index(batch_op.f("ix_notice_send_at"), ["send_at"], unique=False)
    op.execute("UPDATE notice SET send_at = created_at")


def downgrade() -> None:
    with op.batch_alter_table("delivery", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_delivery_copy_state"))

    with op.batch_alter_table("notice", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_notice_send_at"))
        batch_op.drop_column("joins")
        batch_op.drop_column("send_at")

    with op.batch_alter_table("key_proposal", schema=None) as batch_op:
        batch_op.drop_column("proposal")
        batch_op.drop_column("status")

    with op.batch_alter_table("purge", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_purge_certified_at"))

    op.drop_table("purge")
    with op.batch_alter_table("hold", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_hold_delivery"))

    op.drop_table("hold")
    with op.batch_alter_table("correction", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_correction_delivery"))

    op.drop_table("correction")
    with op.batch_alter_table("certificate", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_certificate_delivery"))

    op.drop_table("certificate")
    op.drop_table("attested_authority")
    with op.batch_alter_table("attestation", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_attestation_member"))

    op.drop_table("attestation")
    with op.batch_alter_table("stage_told", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_stage_told_day"))

    op.drop_table("stage_told")
    with op.batch_alter_table("yearly", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_yearly_member"))

    op.drop_table("yearly")
    with op.batch_alter_table("stage", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_stage_due_at"))
        batch_op.drop_index(batch_op.f("ix_stage_done_at"))

    op.drop_table("stage")
    op.drop_table("snooze")
    op.drop_table("outside_event")
    op.drop_table("outage")
    with op.batch_alter_table("obligation", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_obligation_sender"))
        batch_op.drop_index("ix_obligation_pair")
        batch_op.drop_index(batch_op.f("ix_obligation_due_at"))

    op.drop_table("obligation")
    op.drop_table("heartbeat")
    op.drop_table("habit")
    op.drop_table("finding")
    with op.batch_alter_table("feed", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_feed_person"))

    op.drop_table("feed")
    op.drop_table("anchor")
    with op.batch_alter_table("absence", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_absence_person"))

    op.drop_table("absence")
