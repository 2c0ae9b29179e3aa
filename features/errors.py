"""The family of errors: every error that riskstream itself raises, named by what helps against it.

Four types say what to do; all others derive from one of them and say which part it is about. An error outside the
family is a defect, or comes from a library. Exit codes (commands/errors.py), HTTP statuses
(serving/http/problems.py) and retries (pipeline/runtime/transient.py) are tables of these types. A test keeps this tree
complete:

RiskstreamError
+-- Unavailable              a part cannot be used now: wait and try again
|   +-- StoreUnavailable         Redis, or another store of records
|   |   +-- StoreDamaged             the store lost something: repair it
|   +-- Unreplicated             Redis: too few replicas confirmed a write
|   +-- Unconfirmed              Redis: a server that nobody has compared yet
|   +-- PubSubUnavailable        Pub/Sub
|   +-- SinkUnavailable          BigQuery, a push gateway
|   +-- StorageUnavailable       the files of bundles
|   +-- RegistryUnavailable      the registry of models
|   +-- ProviderUnavailable      the identity provider of the REST service
|   +-- TrailFull                the audit trail of the REST service
|   +-- Away                     a part that the status asks
|   +-- NotInTime                a certification: something that takes seconds has not happened within minutes
|   +-- NotNotified              the webhook of a retraining
+-- Refused                  it will never work as it stands: something is missing, forbidden or in the way
|   +-- PubSubRefused            Pub/Sub: no such topic or subscription, or no permission
|   +-- SinkRefused              BigQuery: no such table, other columns, or no permission
|   +-- NoSuchJob                Dataflow: no such job
|   +-- CannotStart              a job, service, repair or demo; one line for each reason
|   |   +-- ColdStore                the store has no records of these features
|   |   +-- FolderInUse              another process works in the folder
|   |   +-- CertificationRefused     a certification: a prefix in use, or a bound too low
|   |   +-- RepairRefused            another repair or a writer is in the way
|   |   +-- DemoFailed               the demo
|   +-- FailoverFailed           a certification: the failover did not happen
|   +-- JobEnded                 a certification: its job ended by itself
|   +-- StackError               the local stack
|   +-- FlinkMissing             Flink on this machine
|   +-- RequestRefused           an HTTP request to the local Google Cloud
|   +-- CallRefused              a gRPC call to the local Pub/Sub
|   +-- Unauthenticated          the REST service: no token, or none that is valid
|   +-- Forbidden                the REST service: the caller lacks the role
|   +-- Inexpressible            a dashboard's language has no such expression
|   +-- NoDigest                 a base image without a digest
|   +-- CanaryWorse              a canary that is worse, or has too few requests to tell
+-- Mismatch                 two things do not belong together
|   +-- BundleMismatch           a bundle and the use case, or a bundle's own parts
|   +-- ParityError              a model and its conversion to ONNX
|   +-- BadRecord                a value in the store and the use case's records
|   +-- TableMismatch            a table in BigQuery and its declaration
+-- BadInput                 what the sender, the author or the caller gave cannot be used
    +-- BadEvent                 an event
    +-- BadFile                  a file or table of history
    +-- WrongHistory             a history that is not the one that filled the store
    +-- BadSettings              flags or an environment file
    +-- UnknownVersion           no such version of the model
    +-- UnknownBundle            no such bundle
    +-- GateFailed               a version that may not be promoted
    +-- NoLabel                  a use case without a label
    +-- CannotDraft              data from which no use case file can be drafted without a flag
    +-- NotJson                  a request whose body is not JSON
    +-- BadDeclaration           what an author declares in a file
    |   +-- BadUseCase               a use case file
    +-- NotEnoughData            too few rows to learn from or to compare
        +-- BadHistory               for training
        +-- TooFewEvents             for drift
"""


class RiskstreamError(Exception):
    """Any error of the family; the message says what was found, what was expected and what to do."""


class Unavailable(RiskstreamError):
    """A part cannot be used now. Wait and try again: nothing is lost by that."""


class Refused(RiskstreamError):
    """This will never work as it stands: something is missing, forbidden or in the way."""


class Mismatch(RiskstreamError):
    """Two things do not belong together; one of them has to be replaced."""


class BadInput(RiskstreamError, ValueError):
    """The sender's, the author's or the caller's input cannot be used; only they can correct it."""


class BadDeclaration(BadInput):
    """A file in which an author declares something is wrong; the message names the line and what was expected."""


class NotEnoughData(BadInput):
    """The data are too few for an answer; give more, or of a longer period."""
