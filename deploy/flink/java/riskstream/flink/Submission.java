package riskstream.flink;

import static org.apache.beam.runners.core.construction.PTransformTranslation.IMPULSE_TRANSFORM_URN;
import static org.apache.beam.runners.core.construction.PTransformTranslation.PAR_DO_TRANSFORM_URN;
import static org.apache.beam.runners.core.construction.PTransformTranslation.SPLITTABLE_PROCESS_SIZED_ELEMENTS_AND_RESTRICTIONS_URN;

import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import org.apache.beam.model.pipeline.v1.RunnerApi.Pipeline;
import org.apache.beam.runners.core.construction.graph.ExecutableStage;
import org.apache.beam.runners.core.construction.graph.GreedyPipelineFuser;
import org.apache.beam.runners.core.construction.graph.ProtoOverrides;
import org.apache.beam.runners.core.construction.graph.SplittableParDoExpander;
import org.apache.beam.runners.core.construction.graph.TrivialNativeTransformExpander;
import org.apache.beam.runners.fnexecution.provisioning.JobInfo;
import org.apache.beam.vendor.grpc.v1p48p1.com.google.protobuf.Message;
import org.apache.beam.vendor.grpc.v1p48p1.com.google.protobuf.Struct;
import org.apache.beam.vendor.grpc.v1p48p1.com.google.protobuf.Value;
import org.apache.beam.vendor.grpc.v1p48p1.com.google.protobuf.util.JsonFormat;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.sink.v2.DiscardingSink;

/**
 * A Beam pipeline as Beam's client packs it into a jar, made a job of Flink.
 *
 * <p>For one kind of pipeline only: a splittable DoFn and what is fused with it. No shuffle, no state, no timers.
 */
public final class Submission {
  private static final String FOLDER = "/BEAM-PIPELINE/pipeline/";
  private final Struct options;
  private final ExecutableStage split; // what makes the elements and restrictions
  private final ExecutableStage process; // what works on them, without end

  private Submission(Pipeline pipeline, Struct options) {
    this.options = options;
    List<ExecutableStage> first = new ArrayList<>();
    List<ExecutableStage> second = new ArrayList<>();
    for (ExecutableStage stage : GreedyPipelineFuser.fuse(expanded(pipeline)).getFusedStages()) {
      (isSplittable(stage) ? second : first).add(stage);
    }
    if (first.size() != 1 || second.size() != 1) {
      throw new IllegalArgumentException(
          String.format(
              "expected a pipeline of one splittable DoFn and what is fused with it, found %d stages before it and %d"
                  + " with one; run other pipelines with the job server of Beam itself",
              first.size(), second.size()));
    }
    split = first.get(0);
    process = second.get(0);
  }

  public static Submission fromThisJar() throws IOException {
    Struct.Builder options = Struct.newBuilder();
    Pipeline.Builder pipeline = Pipeline.newBuilder();
    read("pipeline-options.json", options);
    read("pipeline.json", pipeline);
    return new Submission(pipeline.build(), options.build());
  }

  public void execute() throws Exception {
    StreamExecutionEnvironment environment = StreamExecutionEnvironment.getExecutionEnvironment();
    environment.setParallelism((int) number("parallelism", 1));
    environment.enableCheckpointing((long) number("checkpointing_interval", 1_000));
    String name = text("job_name", "riskstream");
    JobInfo job = JobInfo.create(name, name, "", options);
    environment
        .addSource(new StageSource(job, payload(split), payload(process)), "Pull to Send", Types.BYTE)
        .sinkTo(new DiscardingSink<>())
        .name("nothing");
    environment.execute(name);
  }

  private static void read(String name, Message.Builder into) throws IOException {
    try (InputStream stream = Submission.class.getResourceAsStream(FOLDER + name)) {
      if (stream == null) {
        throw new IOException(FOLDER + name + " is not in the jar: it is made by Beam's client, not by hand");
      }
      String json = new String(stream.readAllBytes(), StandardCharsets.UTF_8);
      JsonFormat.parser().ignoringUnknownFields().merge(json, into);
    }
  }

  private static Pipeline expanded(Pipeline pipeline) {
    Pipeline splittable =
        ProtoOverrides.updateTransform(
            PAR_DO_TRANSFORM_URN, pipeline, SplittableParDoExpander.createSizedReplacement());
    return TrivialNativeTransformExpander.forKnownUrns(splittable, Set.of(IMPULSE_TRANSFORM_URN));
  }

  private static boolean isSplittable(ExecutableStage stage) {
    return stage.getTransforms().stream()
        .map(node -> node.getTransform().getSpec().getUrn())
        .anyMatch(SPLITTABLE_PROCESS_SIZED_ELEMENTS_AND_RESTRICTIONS_URN::equals);
  }

  private static byte[] payload(ExecutableStage stage) {
    return stage.toPTransform("stage").getSpec().getPayload().toByteArray();
  }

  private double number(String option, double otherwise) {
    return Double.parseDouble(text(option, Double.toString(otherwise)));
  }

  private String text(String option, String otherwise) {
    Value found = options.getFieldsOrDefault("beam:option:" + option + ":v1", Value.getDefaultInstance());
    switch (found.getKindCase()) {
      case STRING_VALUE:
        return found.getStringValue();
      case NUMBER_VALUE:
        return Double.toString(found.getNumberValue());
      default:
        return otherwise;
    }
  }
}
