package org.apache.beam.runners.flink;

import riskstream.flink.Submission;

/** The name under which Beam's client for Flink starts what is in the jar that it uploads. */
public final class FlinkPipelineRunner {
  private FlinkPipelineRunner() {}

  public static void main(String[] arguments) throws Exception {
    Submission.fromThisJar().execute();
  }
}
