"""The first tables, the ledger's triggers and its head."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


_SQLITE = [
    f"CREATE TRIGGER ledger_no_{verb} BEFORE {verb.upper()} ON ledger"
    " BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END"
    for verb in ("update", "delete")
] + [
    # REPLACE deletes without asking the delete trigger (recursive_triggers is off): a number is given once.
    "CREATE TRIGGER ledger_no_replace BEFORE INSERT ON ledger"
    " WHEN EXISTS (SELECT 1 FROM ledger WHERE number = NEW.number)"
    " BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END"
]
_POSTGRESQL = [
    "CREATE FUNCTION ledger_append_only() RETURNS trigger LANGUAGE plpgsql AS"
    " $$ BEGIN RAISE EXCEPTION 'the ledger is append-only'; END $$",
    "CREATE TRIGGER ledger_no_change BEFORE UPDATE OR DELETE ON ledger"
    " FOR EACH ROW EXECUTE FUNCTION ledger_append_only()",
    "CREATE TRIGGER ledger_no_truncate BEFORE TRUNCATE ON ledger EXECUTE FUNCTION ledger_append_only()",
]


def _guard_the_ledger() -> None:
    sqlite = op.get_bind().dialect.name == "sqlite"
    for statement in _SQLITE if sqlite else _POSTGRESQL:
        op.execute(statement)
    op.execute(
        "INSERT INTO ledger_head (id, number, hash, at) VALUES (1, 0, '"
        + "0" * 64
        + "', '1970-01-01T00:00:00.000000Z')"
    )
    op.execute('INSERT INTO clock (id, "offset") VALUES (1, 0)')


def upgrade() -> None:
    op.create_table(
        "chat_link",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("platform", sa.String(), nullable=False),
        sa.Column("team", sa.String(), nullable=False),
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("person", sa.String(), nullable=False),
        sa.Column("via_key", sa.String(), nullable=False),
        sa.Column("at", sa.String(length=27), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_chat_link")),
        sa.UniqueConstraint("platform", "team", "account", name=op.f("uq_chat_link_platform")),
    )
    with op.batch_alter_table("chat_link", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_chat_link_person"), ["person"], unique=False)

    op.create_table(
        "checksum",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("person", sa.String(), nullable=False),
        sa.Column("exchange", sa.String(), nullable=False),
        sa.Column("period", sa.String(), nullable=False),
        sa.Column("folder", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("name_key", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.String(length=27), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_checksum")),
        sa.UniqueConstraint("person", "exchange", "period", "folder", "name_key", name=op.f("uq_checksum_person")),
    )
    op.create_table(
        "clock",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_clock")),
    )
    op.create_table(
        "code",
        sa.Column("hash", sa.String(), nullable=False),
        sa.Column("purpose", sa.String(), nullable=False),
        sa.Column("person", sa.String(), nullable=False),
        sa.Column("via_key", sa.String(), nullable=False),
        sa.Column("made_at", sa.String(length=27), nullable=False),
        sa.Column("expires_real", sa.Float(), nullable=False),
        sa.Column("used", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_code")),
    )
    with op.batch_alter_table("code", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_code_person"), ["person"], unique=False)

    op.create_table(
        "consignment",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("person", sa.String(), nullable=False),
        sa.Column("member", sa.String(), nullable=False),
        sa.Column("via_key", sa.String(), nullable=False),
        sa.Column("exchange", sa.String(), nullable=False),
        sa.Column("period", sa.String(), nullable=False),
        sa.Column("folder", sa.String(), nullable=False),
        sa.Column("recipients", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("name_key", sa.String(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=True),
        sa.Column("blob", sa.String(), nullable=False),
        sa.Column("blob_gone", sa.Boolean(), nullable=False),
        sa.Column("payload_sha256", sa.String(), nullable=False),
        sa.Column("payload_size", sa.BigInteger(), nullable=False),
        sa.Column("received_at", sa.String(length=27), nullable=False),
        sa.Column("release_at", sa.String(length=27), nullable=False),
        sa.Column("staged", sa.Boolean(), nullable=False),
        sa.Column("hold", sa.String(), nullable=True),
        sa.Column("hold_words", sa.String(), nullable=True),
        sa.Column("cut_words", sa.String(), nullable=True),
        sa.Column("tidied", sa.Boolean(), nullable=False),
        sa.Column("revision", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_consignment")),
        sa.UniqueConstraint("blob", name=op.f("uq_consignment_blob")),
    )
    with op.batch_alter_table("consignment", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_consignment_member"), ["member"], unique=False)
        batch_op.create_index(batch_op.f("ix_consignment_person"), ["person"], unique=False)
        batch_op.create_index(
            "ix_consignment_place", ["member", "exchange", "period", "recipients", "name_key"], unique=False
        )
        batch_op.create_index(batch_op.f("ix_consignment_sha256"), ["sha256"], unique=False)

    op.create_table(
        "counter",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("last", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_counter")),
    )
    op.create_table(
        "desk_session",
        sa.Column("hash", sa.String(), nullable=False),
        sa.Column("person", sa.String(), nullable=False),
        sa.Column("via_key", sa.String(), nullable=False),
        sa.Column("form_token", sa.String(), nullable=False),
        sa.Column("made_at", sa.String(length=27), nullable=False),
        sa.Column("expires_real", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_desk_session")),
    )
    with op.batch_alter_table("desk_session", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_desk_session_person"), ["person"], unique=False)

    op.create_table(
        "key_proposal",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("person", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.String(), nullable=False),
        sa.Column("at", sa.String(length=27), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_key_proposal")),
        sa.UniqueConstraint("person", "fingerprint", name=op.f("uq_key_proposal_person")),
    )
    with op.batch_alter_table("key_proposal", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_key_proposal_person"), ["person"], unique=False)

    op.create_table(
        "ledger",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("subjects", sa.Text(), nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.Column("revision", sa.String(), nullable=False),
        sa.Column("previous", sa.String(), nullable=False),
        sa.Column("hash", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_ledger")),
    )
    with op.batch_alter_table("ledger", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_ledger_kind"), ["kind"], unique=False)

    op.create_table(
        "ledger_head",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("hash", sa.String(), nullable=False),
        sa.Column("at", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ledger_head")),
    )
    op.create_table(
        "nil_return",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("person", sa.String(), nullable=False),
        sa.Column("member", sa.String(), nullable=False),
        sa.Column("exchange", sa.String(), nullable=False),
        sa.Column("period", sa.String(), nullable=False),
        sa.Column("recipients", sa.String(), nullable=False),
        sa.Column("folder", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("at", sa.String(length=27), nullable=False),
        sa.Column("tidied", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_nil_return")),
        sa.UniqueConstraint("member", "exchange", "period", "recipients", name=op.f("uq_nil_return_member")),
    )
    op.create_table(
        "notice",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("person", sa.String(), nullable=False),
        sa.Column("thread", sa.String(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.String(length=27), nullable=False),
        sa.Column("updated_at", sa.String(length=27), nullable=False),
        sa.Column("about", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notice")),
        sa.UniqueConstraint("person", "thread", name=op.f("uq_notice_person")),
    )
    with op.batch_alter_table("notice", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_notice_person"), ["person"], unique=False)
        batch_op.create_index(batch_op.f("ix_notice_updated_at"), ["updated_at"], unique=False)

    op.create_table(
        "refusal",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("person", sa.String(), nullable=False),
        sa.Column("place", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("name_key", sa.String(), nullable=False),
        sa.Column("at", sa.String(length=27), nullable=False),
        sa.Column("code", sa.String(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("csv", sa.Text(), nullable=False),
        sa.Column("removed", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_refusal")),
        sa.UniqueConstraint("person", "place", "name_key", name=op.f("uq_refusal_person")),
    )
    with op.batch_alter_table("refusal", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_refusal_person"), ["person"], unique=False)

    op.create_table(
        "revision",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("label", sa.String(), nullable=False),
        sa.Column("files", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_revision")),
    )
    op.create_table(
        "seen_action",
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("at_real", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_seen_action")),
    )
    op.create_table(
        "suspension",
        sa.Column("person", sa.String(), nullable=False),
        sa.Column("at", sa.String(length=27), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("lift_asked_by", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("person", name=op.f("pk_suspension")),
    )
    op.create_table(
        "delivery",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("consignment", sa.String(), nullable=False),
        sa.Column("recipient", sa.String(), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("copy_state", sa.String(length=20), nullable=False),
        sa.Column("use_state", sa.String(length=20), nullable=False),
        sa.Column("available_at", sa.String(length=27), nullable=True),
        sa.Column("collected_at", sa.String(length=27), nullable=True),
        sa.Column("collected_by", sa.String(), nullable=True),
        sa.Column("collected_key", sa.String(), nullable=True),
        sa.Column("acknowledged_at", sa.String(length=27), nullable=True),
        sa.Column("acknowledged_by", sa.String(), nullable=True),
        sa.Column("problem", sa.String(), nullable=True),
        sa.Column("problem_by", sa.String(), nullable=True),
        sa.Column("ended_at", sa.String(length=27), nullable=True),
        sa.Column("superseded_by", sa.String(), nullable=True),
        sa.Column("controller", sa.String(), nullable=False),
        sa.Column("controller_from", sa.String(length=27), nullable=True),
        sa.Column("use_by", sa.String(), nullable=True),
        sa.CheckConstraint("copy_state IN ('kept', 'held', 'purged')", name=op.f("ck_delivery_copy_state")),
        sa.CheckConstraint(
            "status IN ('sent', 'held', 'available', 'collected', 'acknowledged', 'queried', 'rejected', 'recalled',"
            " 'superseded')",
            name=op.f("ck_delivery_status"),
        ),
        sa.CheckConstraint("use_state IN ('open', 'processed', 'destroyed')", name=op.f("ck_delivery_use_state")),
        sa.ForeignKeyConstraint(["consignment"], ["consignment.id"], name=op.f("fk_delivery_consignment_consignment")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_delivery")),
        sa.UniqueConstraint("consignment", "recipient", name=op.f("uq_delivery_consignment")),
    )
    with op.batch_alter_table("delivery", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_delivery_consignment"), ["consignment"], unique=False)
        batch_op.create_index(batch_op.f("ix_delivery_recipient"), ["recipient"], unique=False)
        batch_op.create_index(batch_op.f("ix_delivery_status"), ["status"], unique=False)

    op.create_table(
        "key_packet",
        sa.Column("consignment", sa.String(), nullable=False),
        sa.Column("member", sa.String(), nullable=False),
        sa.Column("packets", sa.LargeBinary(), nullable=False),
        sa.Column("fingerprints", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["consignment"], ["consignment.id"], name=op.f("fk_key_packet_consignment_consignment")
        ),
        sa.PrimaryKeyConstraint("consignment", "member", name=op.f("pk_key_packet")),
    )
    op.create_table(
        "revision_in_force",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("revision", sa.String(), nullable=False),
        sa.Column("at", sa.String(length=27), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["revision"], ["revision.id"], name=op.f("fk_revision_in_force_revision_revision")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_revision_in_force")),
    )
    op.create_table(
        "sending",
        sa.Column("notice", sa.Integer(), nullable=False),
        sa.Column("transport", sa.String(), nullable=False),
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("channel", sa.String(), nullable=True),
        sa.Column("reference", sa.String(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("due_real", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["notice"], ["notice.id"], name=op.f("fk_sending_notice_notice")),
        sa.PrimaryKeyConstraint("notice", "transport", "address", name=op.f("pk_sending")),
    )
    _guard_the_ledger()


def downgrade() -> None:
    op.drop_table("sending")
    op.drop_table("revision_in_force")
    op.drop_table("key_packet")
    with op.batch_alter_table("delivery", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_delivery_status"))
        batch_op.drop_index(batch_op.f("ix_delivery_recipient"))
        batch_op.drop_index(batch_op.f("ix_delivery_consignment"))

    op.drop_table("delivery")
    op.drop_table("suspension")
    op.drop_table("seen_action")
    op.drop_table("revision")
    with op.batch_alter_table("refusal", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_refusal_person"))

    op.drop_table("refusal")
    with op.batch_alter_table("notice", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_notice_updated_at"))
        batch_op.drop_index(batch_op.f("ix_notice_person"))

    op.drop_table("notice")
    op.drop_table("nil_return")
    op.drop_table("ledger_head")
    with op.batch_alter_table("ledger", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_ledger_kind"))

    op.drop_table("ledger")
    with op.batch_alter_table("key_proposal", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_key_proposal_person"))

    op.drop_table("key_proposal")
    with op.batch_alter_table("desk_session", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_desk_session_person"))

    op.drop_table("desk_session")
    op.drop_table("counter")
    with op.batch_alter_table("consignment", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_consignment_sha256"))
        batch_op.drop_index("ix_consignment_place")
        batch_op.drop_index(batch_op.f("ix_consignment_person"))
        batch_op.drop_index(batch_op.f("ix_consignment_member"))

    op.drop_table("consignment")
    with op.batch_alter_table("code", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_code_person"))

    op.drop_table("code")
    op.drop_table("clock")
    op.drop_table("checksum")
    with op.batch_alter_table("chat_link", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_chat_link_person"))

    op.drop_table("chat_link")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION IF EXISTS ledger_append_only()")
