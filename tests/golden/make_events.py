# make_events.py - writes events.tfevents with TensorBoard's own messages and record writer: what src/report/tfevents.c must write, byte for byte.
# Needs tensorboard 2.21 (pip install tensorboard); run in this folder.
# SPDX-License-Identifier: Apache-2.0
import io

from tensorboard.compat.proto import event_pb2, summary_pb2, tensor_pb2
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.summary.writer.record_writer import RecordWriter

# 3 x 2, 8-bit RGB; the C test has the same bytes
PNG = bytes.fromhex("89504e470d0a1a0a0000000d4948445200000003000000020802000000120dd4f60000000d49444154789c636060800300000d0001abc8a2290000000049454e44ae426082")


def events():
    yield event_pb2.Event(wall_time=1700000000.25, file_version="brain.Event:2")
    yield event_pb2.Event(wall_time=1700000000.5, step=41, session_log=event_pb2.SessionLog(status=event_pb2.SessionLog.START))
    value = summary_pb2.Summary.Value
    tensor = tensor_pb2.TensorProto(dtype=7, tensor_shape=TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)]), string_val=[b"| a |\n"])
    metadata = summary_pb2.SummaryMetadata(plugin_data=summary_pb2.SummaryMetadata.PluginData(plugin_name="text"))
    yield event_pb2.Event(wall_time=1700000001.0, summary=summary_pb2.Summary(value=[value(tag="config", tensor=tensor, metadata=metadata)]))
    numbers = [("train/loss", 0.1), ("val/loss", 0.0), ("lr", -1e-30), ("bad", float("inf")), ("large", 123456789.0)]
    yield event_pb2.Event(wall_time=1700000002.0, step=300, summary=summary_pb2.Summary(value=[value(tag=t, simple_value=v) for t, v in numbers]))
    image = summary_pb2.Summary.Image(height=2, width=3, colorspace=3, encoded_image_string=PNG)
    yield event_pb2.Event(wall_time=1700000003.0, step=1 << 40, summary=summary_pb2.Summary(value=[value(tag="samples/x", image=image)]))


class Kept(io.BytesIO):
    def flush(self):
        pass


out = Kept()
writer = RecordWriter(out)
for event in events():
    writer.write(event.SerializeToString(deterministic=True))
with open("events.tfevents", "wb") as file:
    file.write(out.getvalue())
