"""The identity service as a newcomer might publish it: one field is marked no more, one has no class."""

from google.protobuf import descriptor_pb2

from adapters.descriptors import descriptor_set
from bj.common.v1 import options_pb2
from bj.identity.v1 import identity_pb2  # noqa: F401 - fills the pool of descriptors

FILE = "bj/identity/v1/identity.proto"


def without_marks() -> bytes:
    """``GetPersonRequest.npi`` lost its mark, ``VerifyPersonRequest`` its fields' class, the file its comments."""
    files = descriptor_pb2.FileDescriptorSet.FromString(descriptor_set("bj.identity.v1.IdentityService"))
    (file,) = (one for one in files.file if one.name == FILE)
    messages = {message.name: message for message in file.message_type}
    (npi,) = (field for field in messages["GetPersonRequest"].field if field.name == "npi")
    npi.options.ClearExtension(options_pb2.data_subject)
    messages["VerifyPersonRequest"].options.ClearExtension(options_pb2.fields_sensitivity)
    file.ClearField("source_code_info")
    return files.SerializeToString(deterministic=True)
