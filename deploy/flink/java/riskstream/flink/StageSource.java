package riskstream.flink;

import java.util.ArrayList;
import java.util.List;
import java.util.PriorityQueue;
import java.util.function.Consumer;
import org.apache.beam.model.fnexecution.v1.BeamFnApi.DelayedBundleApplication;
import org.apache.beam.model.fnexecution.v1.BeamFnApi.ProcessBundleResponse;
import org.apache.beam.model.pipeline.v1.RunnerApi.ExecutableStagePayload;
import org.apache.beam.runners.core.construction.graph.ExecutableStage;
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
  private transient volatile InMemoryFinalizer finalizer;
  private transient ListState<byte[]> state;
  private transient boolean isRestored;
  private transient PriorityQueue<Waiting> waiting; // under the checkpoint lock

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
    if (finalizer != null) {
      finalizer.finalizeAllOutstandingBundles();
    }
  }

  @Override
  public void cancel() {
    isRunning = false;
  }

  @Override
  public void run(SourceContext<Byte> context) throws Exception {
    try (DefaultJobBundleFactory workers = DefaultJobBundleFactory.create(job)) {
      if (!isRestored) {
        begin(context, workers);
      }
      Stage stage = new Stage(workers, process);
      finalizer = BundleFinalizationHandlers.inMemoryFinalizer(stage.bundles.getInstructionRequestHandler());
      while (isRunning && !waiting.isEmpty()) {
        work(context, stage);
      }
    }
  }

  /** This task's share of the elements, which every task makes for itself. */
  private void begin(SourceContext<Byte> context, DefaultJobBundleFactory workers) throws Exception {
    Stage stage = new Stage(workers, split);
    List<byte[]> made = new ArrayList<>();
    stage.run(CoderUtils.encodeToByteArray(stage.coder, WindowedValue.valueInGlobalWindow(new byte[0])), made::add, null, null);
    int tasks = getRuntimeContext().getTaskInfo().getNumberOfParallelSubtasks();
    synchronized (context.getCheckpointLock()) {
      for (int i = getRuntimeContext().getTaskInfo().getIndexOfThisSubtask(); i < made.size(); i += tasks) {
        waiting.add(new Waiting(made.get(i), 0));
      }
    }
  }

  /** One bundle of the element that is due first; what is left of it takes its place. */
  private void work(SourceContext<Byte> context, Stage stage) throws Exception {
    Waiting next = waiting.peek();
    long ms = next.dueMs - System.currentTimeMillis();
    if (ms > 0) {
      Thread.sleep(Math.min(ms, LONGEST_SLEEP_MS));
      return;
    }
    List<Waiting> left = new ArrayList<>();
    stage.run(next.element, output -> {}, finalizer, left::add);
    synchronized (context.getCheckpointLock()) {
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

    void run(byte[] element, Consumer<byte[]> outputs, InMemoryFinalizer finalizer, Consumer<Waiting> left)
        throws Exception {
      try (RemoteBundle bundle =
          bundles.getBundle(
              receivers(outputs),
              StateRequestHandler.unsupported(),
              BundleProgressHandler.ignored(),
              id -> finalizer.requestsFinalization(id),
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
        long delayMs = rest.getRequestedTimeDelay().getSeconds() * 1_000 + rest.getRequestedTimeDelay().getNanos() / 1_000_000;
        left.accept(
            new Waiting(rest.getApplication().getElement().toByteArray(), System.currentTimeMillis() + delayMs));
      }
    }

    private OutputReceiverFactory receivers(Consumer<byte[]> outputs) {
      return new OutputReceiverFactory() {
        @Override
        public <OutputT> FnDataReceiver<OutputT> create(String pCollection) {
          Coder<WindowedValue<OutputT>> coder = coderOf(pCollection);
          return output -> outputs.accept(CoderUtils.encodeToByteArray(coder, (WindowedValue<OutputT>) output));
        }
      };
    }

    private <T> Coder<WindowedValue<T>> coderOf(String pCollection) {
      return stage.getOutputPCollections().stream()
          .filter(node -> node.getId().equals(pCollection))
          .map(node -> Stage.<T>wireCoder(node, stage))
          .findFirst()
          .orElseThrow();
    }

    private static <T> Coder<WindowedValue<T>> wireCoder(
        org.apache.beam.runners.core.construction.graph.PipelineNode.PCollectionNode node, ExecutableStage stage) {
      try {
        return WireCoders.instantiateRunnerWireCoder(node, stage.getComponents());
      } catch (java.io.IOException error) {
        throw new java.io.UncheckedIOException(error);
      }
    }
  }
}
