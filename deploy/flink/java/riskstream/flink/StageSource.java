package riskstream.flink;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.ArrayList;
import java.util.List;
import java.util.PriorityQueue;
import java.util.function.Consumer;
import org.apache.beam.model.fnexecution.v1.BeamFnApi.DelayedBundleApplication;
import org.apache.beam.model.fnexecution.v1.BeamFnApi.ProcessBundleResponse;
import org.apache.beam.model.pipeline.v1.RunnerApi.ExecutableStagePayload;
import org.apache.beam.runners.core.construction.graph.ExecutableStage;
import org.apache.beam.runners.core.construction.graph.PipelineNode.PCollectionNode;
import org.apache.beam.runners.fnexecution.control.BundleFinalizationHandlers;
import org.apache.beam.runners.fnexecution.control.BundleFinalizationHandlers.InMemoryFinalizer;
import org.apache.beam.runners.fnexecution.control.BundleProgressHandler;
import org.apache.beam.runners.fnexecution.control.DefaultJobBundleFactory;
import org.apache.beam.runners.fnexecution.control.OutputReceiverFactory;
import org.apache.beam.runners.fnexecution.control.RemoteBundle;
import org.apache.beam.runners.fnexecution.control.StageBundleFactory;
import org.apache.beam.runners.fnexecution.provisioning.JobInfo;
import org.apache.beam.runners.fnexecution.state.StateRequestHandler;
import org.apache.beam.runners.fnexecution.wire.WireCoders;
import org.apache.beam.sdk.coders.Coder;
import org.apache.beam.sdk.fn.data.FnDataReceiver;
import org.apache.beam.sdk.util.CoderUtils;
import org.apache.beam.sdk.util.WindowedValue;
import org.apache.beam.vendor.grpc.v1p48p1.com.google.protobuf.util.Durations;
import org.apache.flink.api.common.TaskInfo;
import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.state.CheckpointListener;
import org.apache.flink.api.common.state.ListState;
import org.apache.flink.api.common.state.ListStateDescriptor;
import org.apache.flink.api.common.typeinfo.PrimitiveArrayTypeInfo;
import org.apache.flink.runtime.state.FunctionInitializationContext;
import org.apache.flink.runtime.state.FunctionSnapshotContext;
import org.apache.flink.streaming.api.checkpoint.CheckpointedFunction;
import org.apache.flink.streaming.api.functions.source.RichParallelSourceFunction;

/**
 * Elements of a splittable DoFn, worked on bundle by bundle in Beam's workers.
 *
 * <p>State is what is left of each element. What a bundle wants done when it is safe is done after the next
 * checkpoint, as Beam's own runner does it: bundles have by then sent all that follows from them.
 */
public final class StageSource extends RichParallelSourceFunction<Byte>
    implements CheckpointedFunction, CheckpointListener {
  private static final long serialVersionUID = 1;
  private static final long LONGEST_SLEEP_MS = 100; // until a wish to stop is noticed

  private final JobInfo job;
  private final byte[] split;
  private final byte[] process;
  private volatile boolean isRunning = true;
  private transient InMemoryFinalizer finalizer;
  private transient ListState<byte[]> state;
  private transient boolean isRestored;
  private transient PriorityQueue<Waiting> waiting; // changed under the checkpoint lock
  private transient DefaultJobBundleFactory workers;
  private transient Stage stage;

  StageSource(JobInfo job, byte[] split, byte[] process) {
    this.job = job;
    this.split = split;
    this.process = process;
  }

  /** An encoded element, and when it is to be worked on. */
  private static final class Waiting implements Comparable<Waiting> {
    private final byte[] element;
    private final long dueMs;

    Waiting(byte[] element, long dueMs) {
      this.element = element;
      this.dueMs = dueMs;
    }

    @Override
    public int compareTo(Waiting other) {
      return Long.compare(dueMs, other.dueMs);
    }
  }

  @Override
  public void initializeState(FunctionInitializationContext context) throws Exception {
    state =
        context
            .getOperatorStateStore()
            .getListState(
                new ListStateDescriptor<>(
                    "elements", PrimitiveArrayTypeInfo.BYTE_PRIMITIVE_ARRAY_TYPE_INFO));
    isRestored = context.isRestored();
    waiting = new PriorityQueue<>();
    for (byte[] element : state.get()) {
      waiting.add(new Waiting(element, 0));
    }
  }

  @Override
  public void snapshotState(FunctionSnapshotContext context) throws Exception {
    List<byte[]> elements = new ArrayList<>();
    waiting.forEach(one -> elements.add(one.element));
    state.update(elements);
  }

  @Override
  public void notifyCheckpointComplete(long checkpoint) {
    finalizer.finalizeAllOutstandingBundles();
  }

  @Override
  public void cancel() {
    isRunning = false;
  }

  /** Starts a worker. What is to be worked on is known before the first checkpoint can be made. */
  @Override
  public void open(OpenContext context) throws Exception {
    workers = DefaultJobBundleFactory.create(job);
    if (!isRestored) {
      begin();
    }
    stage = new Stage(workers, process);
    finalizer = BundleFinalizationHandlers.inMemoryFinalizer(stage.bundles.getInstructionRequestHandler());
  }

  @Override
  public void close() throws Exception {
    if (workers != null) {
      workers.close();
    }
  }

  @Override
  public void run(SourceContext<Byte> context) throws Exception {
    while (isRunning && !waiting.isEmpty()) {
      work(context.getCheckpointLock());
    }
  }

  /** This task's share of the elements, which every task makes for itself. */
  private void begin() throws Exception {
    Stage first = new Stage(workers, split);
    byte[] impulse = CoderUtils.encodeToByteArray(first.coder, WindowedValue.valueInGlobalWindow(new byte[0]));
    List<byte[]> made = new ArrayList<>();
    first.run(impulse, made::add, id -> {}, rest -> {});
    TaskInfo task = getRuntimeContext().getTaskInfo();
    for (int i = task.getIndexOfThisSubtask(); i < made.size(); i += task.getNumberOfParallelSubtasks()) {
      waiting.add(new Waiting(made.get(i), 0));
    }
  }

  /** One bundle of the element that is due first; what is left of it takes its place. */
  private void work(Object checkpointLock) throws Exception {
    Waiting next = waiting.peek();
    long ms = next.dueMs - System.currentTimeMillis();
    if (ms > 0) {
      Thread.sleep(Math.min(ms, LONGEST_SLEEP_MS));
      return;
    }
    List<Waiting> left = new ArrayList<>();
    stage.run(next.element, output -> {}, finalizer::requestsFinalization, left::add);
    synchronized (checkpointLock) {
      waiting.remove(next);
      waiting.addAll(left);
    }
  }

  /** A fused stage, in workers of this task. */
  private static final class Stage {
    private final StageBundleFactory bundles;
    private final Coder<WindowedValue<Object>> coder;
    private final ExecutableStage stage;

    Stage(DefaultJobBundleFactory workers, byte[] payload) throws Exception {
      stage = ExecutableStage.fromPayload(ExecutableStagePayload.parseFrom(payload));
      bundles = workers.forStage(stage);
      coder = WireCoders.instantiateRunnerWireCoder(stage.getInputPCollection(), stage.getComponents());
    }

    /** One bundle of one element; returns when it is done with. */
    void run(
        byte[] element, Consumer<byte[]> outputs, Consumer<String> toFinalize, Consumer<Waiting> left)
        throws Exception {
      try (RemoteBundle bundle =
          bundles.getBundle(
              receivers(outputs),
              StateRequestHandler.unsupported(),
              BundleProgressHandler.ignored(),
              toFinalize::accept,
              response -> leave(response, left))) {
        onlyReceiver(bundle).accept(CoderUtils.decodeFromByteArray(coder, element));
      }
    }

    @SuppressWarnings({"unchecked", "rawtypes"})
    private static FnDataReceiver<WindowedValue<Object>> onlyReceiver(RemoteBundle bundle) {
      return (FnDataReceiver) bundle.getInputReceivers().values().iterator().next();
    }

    private static void leave(ProcessBundleResponse response, Consumer<Waiting> left) {
      for (DelayedBundleApplication rest : response.getResidualRootsList()) {
        byte[] element = rest.getApplication().getElement().toByteArray();
        long delayMs = Durations.toMillis(rest.getRequestedTimeDelay());
        left.accept(new Waiting(element, System.currentTimeMillis() + delayMs));
      }
    }

    private OutputReceiverFactory receivers(Consumer<byte[]> outputs) {
      return new OutputReceiverFactory() {
        @Override
        @SuppressWarnings("unchecked")
        public <OutputT> FnDataReceiver<OutputT> create(String pCollection) {
          Coder<WindowedValue<Object>> outputCoder = coderOf(pCollection);
          return output ->
              outputs.accept(CoderUtils.encodeToByteArray(outputCoder, (WindowedValue<Object>) output));
        }
      };
    }

    private Coder<WindowedValue<Object>> coderOf(String pCollection) {
      try {
        for (PCollectionNode node : stage.getOutputPCollections()) {
          if (node.getId().equals(pCollection)) {
            return WireCoders.instantiateRunnerWireCoder(node, stage.getComponents());
          }
        }
      } catch (IOException error) {
        throw new UncheckedIOException(error);
      }
      throw new IllegalArgumentException(pCollection + " is not an output of the stage");
    }
  }
}
